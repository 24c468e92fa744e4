//! `thingport-bench`: the load generator and the do-nothing server that `bench/run` compares with.
//!
//! Both ends are single-threaded readiness loops, so that the figures are those of the server under
//! test. See `bench/README.md` for the method.

mod echo;
mod histogram;
mod load;
mod packet;
mod process;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "MQTT 3.1.1 load generator and do-nothing server")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer CONNECT, QoS 1 PUBLISH and PINGREQ and do nothing else: the physical limit.
    Echo(echo::Options),
    /// Load a server and print one line of JSON.
    Load(load::Options),
    /// Let many people watch one device while another publishes, and print one line of JSON.
    Watch(watch::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is gone too.
            let _ = writeln!(io::stderr(), "thingport-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> io::Result<()> {
    process::raise_descriptor_limit()?;
    match command {
        Command::Echo(options) => echo::serve(&options),
        Command::Load(options) => {
            let report = load::run(&options)?;
            writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)
        }
        Command::Watch(options) => writeln!(io::stdout(), "{}", watch::run(&options)?),
    }
}
