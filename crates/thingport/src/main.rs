//! The command line: `serve` (also when nothing is said), `check`, `certs`, `--version`.

mod certs;
mod chores;
mod config;
mod failure;
mod first_run;
mod greeting;
mod http;
mod observe;
mod outbound;
mod serve;
mod system;
mod tls;
mod workbench;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Measured: a quarter less memory per connection and less work per point than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One binary between your devices and your data: ThingsBoard's device, REST and WebSocket APIs.
#[derive(Parser)]
#[command(name = "thingport", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server; the same as no command.
    Serve(Settings),
    /// Check the configuration and the certificate files it names, and stop.
    Check {
        #[command(flatten)]
        settings: Settings,
        /// Print the configuration in force as TOML.
        #[arg(long)]
        print: bool,
        /// Print the reference of all keys as Markdown.
        #[arg(long, conflicts_with = "print")]
        reference: bool,
    },
    /// Make certificates for tests and small fleets, or look at one.
    #[command(subcommand)]
    Certs(certs::Certs),
}

/// Where the configuration comes from.
#[derive(Args)]
struct Settings {
    /// The TOML configuration file; without it no file is read.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory; short for --set storage.dir=DIR.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Create the demo accounts and devices, and listen on loopback unless told otherwise.
    #[arg(long)]
    demo: bool,
    /// Set one key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Settings {
    fn into_options(self) -> config::Options {
        let Self { config, data, demo, set } = self;
        config::Options { file: config, set, data, demo }
    }
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    match line.command.unwrap_or(Command::Serve(line.settings)) {
        Command::Serve(settings) => serve(settings),
        Command::Check { reference: true, .. } => say(&config::reference()),
        Command::Check { settings, print, .. } => check(settings, print),
        Command::Certs(command) => make_certificates(command),
    }
}

fn serve(settings: Settings) -> ExitCode {
    let demo = settings.demo;
    match config::load(settings.into_options()) {
        Ok(config) => run(&config, demo),
        Err(problems) => refuse(&problems),
    }
}

fn run(config: &config::Config, demo: bool) -> ExitCode {
    match serve::run(config, demo) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn make_certificates(command: certs::Certs) -> ExitCode {
    match certs::run(command, system::wall_now().0) {
        Ok(text) => say(&text),
        Err(problem) => fail(&problem),
    }
}

/// Prints why it did not work.
fn fail(why: &dyn std::fmt::Display) -> ExitCode {
    // Nobody is left to tell when this fails.
    let _ = io::stderr().write_all(format!("thingport: {why}\n").as_bytes());
    ExitCode::FAILURE
}

fn check(settings: Settings, print: bool) -> ExitCode {
    match config::load(settings.into_options()) {
        Ok(config) if print => say(&config::effective(&config)),
        Ok(config) => match serve::check(&config) {
            Ok(()) => say("The configuration is valid.\n"),
            Err(failure) => fail(&failure),
        },
        Err(problems) => refuse(&problems),
    }
}

/// Prints `text`. A reader that went away is no failure of ours, so a broken pipe is not told.
fn say(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Prints every problem; exit code 2 is what the command line itself uses for wrong arguments.
fn refuse(problems: &[config::Problem]) -> ExitCode {
    let mut text = String::new();
    for problem in problems {
        text += &format!("thingport: {problem}\n");
    }
    // Nobody is left to tell when this fails.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Command, CommandLine, Parser};

    #[test]
    fn the_command_line_is_kept_stable() {
        CommandLine::command().debug_assert();
        for (line, is_accepted) in [
            ("", true),
            ("--demo", true),
            ("serve", true),
            ("serve --config f.toml --data d --demo --set a=b --set c=d", true),
            ("--config f.toml --data d --demo --set a=b --set c=d", true),
            ("check", true),
            ("check --print --demo --set a=b", true),
            ("check --reference", true),
            ("check --reference --print", false),
            ("--demo serve", false),
            ("--config a --config b", false),
            ("certs ca", true),
            ("certs ca --name n --days 30 --key-type p384 --out d --force", true),
            ("certs server", true),
            ("certs server --name a.example --name 10.0.0.5 --ca c.pem --ca-key k.pem", true),
            ("certs server --ca-key k.pem", false),
            ("certs device --name d --ca c.pem --key-type rsa4096", true),
            ("certs device --name d --key-type rsa1024", false),
            ("certs device", false),
            ("certs chain --name d --key-type ed25519", true),
            ("certs chain --name d --days 0", false),
            ("certs show f.pem", true),
            ("certs show", false),
            ("certs", false),
            ("start", false),
        ] {
            let words = std::iter::once("thingport").chain(line.split_whitespace());
            assert_eq!(CommandLine::try_parse_from(words).is_ok(), is_accepted, "{line}");
        }
    }

    #[test]
    fn no_command_is_serve_with_the_same_flags() {
        let line = CommandLine::try_parse_from(["thingport", "--demo", "--set", "a=b"]).unwrap();
        assert!(line.command.is_none());
        let options = line.settings.into_options();
        let named = ["thingport", "serve", "--demo", "--set", "a=b"];
        let Some(Command::Serve(settings)) = CommandLine::try_parse_from(named).unwrap().command
        else {
            panic!("serve is a command");
        };
        assert_eq!(settings.into_options(), options);
    }
}
