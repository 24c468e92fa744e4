//! What a person sees once the server runs: where it listens, and a line to try.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use crate::tls::Standing;

/// What the greeting tells.
pub(crate) struct Greeting<'a> {
    pub(crate) mqtt_at: SocketAddr,
    pub(crate) mqtts_at: Option<SocketAddr>,
    pub(crate) http_at: SocketAddr,
    pub(crate) https_at: Option<SocketAddr>,
    pub(crate) dir: &'a Path,
    pub(crate) demo: bool,
    pub(crate) people: Option<&'a str>,
    pub(crate) certificate: Option<&'a Standing>,
}

/// Prints `greeting`.
pub(crate) fn greet(greeting: &Greeting<'_>) {
    // Nobody may be reading; the server runs all the same.
    let _ = io::stdout().write_all(text(greeting).as_bytes());
    let _ = io::stdout().flush();
}

fn text(it: &Greeting<'_>) -> String {
    let mut text = format!("Thingport {} is ready.\n", env!("CARGO_PKG_VERSION"));
    text += &format!("  MQTT  {}\n", it.mqtt_at);
    text += &format!("  HTTP  http://{}:{}\n", host(it.http_at), it.http_at.port());
    if let Some(at) = it.mqtts_at {
        text += &format!("  MQTTS {at}\n");
    }
    if let Some(at) = it.https_at {
        text += &format!("  HTTPS https://{}:{}\n", host(at), at.port());
    }
    let ca = it.certificate.and_then(|standing| standing.ca_file.as_deref());
    if let Some(ca) = ca {
        text += &format!("  CA    {}\n", ca.display());
    }
    text += &format!("  data  {}\n", it.dir.display());
    text += it.people.unwrap_or_default();
    let token = if it.demo { "A1_TEST_TOKEN" } else { "$ACCESS_TOKEN" };
    let publish = |ca: &str, at: SocketAddr, usual: u16| {
        let port = if at.port() == usual { String::new() } else { format!(" -p {}", at.port()) };
        format!(
            "  mosquitto_pub -d -q 1{ca} -h {}{port} -t v2/t -u {token} \
             -m '{{\"temperature\": 25}}'\n",
            host(at)
        )
    };
    text += "Try:\n";
    text += &publish("", it.mqtt_at, 1883);
    if let (Some(at), Some(ca)) = (it.mqtts_at, ca) {
        // mosquitto's clients choose this port by themselves when they are given a CA.
        text += &publish(&format!(" --cafile {}", ca.display()), at, 8883);
    }
    text
}

fn host(at: SocketAddr) -> String {
    if at.ip().is_unspecified() { "localhost".to_owned() } else { at.ip().to_string() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Greeting, text};

    #[test]
    fn usual_ports_and_every_address_are_left_out_of_the_line_to_try() {
        let mut greeting = Greeting {
            mqtt_at: "0.0.0.0:1883".parse().unwrap(),
            mqtts_at: None,
            http_at: "0.0.0.0:8080".parse().unwrap(),
            https_at: None,
            dir: Path::new("data"),
            demo: true,
            people: None,
            certificate: None,
        };
        let told = text(&greeting);
        assert!(told.contains("  MQTT  0.0.0.0:1883\n  HTTP  http://localhost:8080\n"), "{told}");
        assert!(told.contains("-q 1 -h localhost -t v2/t -u A1_TEST_TOKEN"), "{told}");
        greeting.mqtt_at = "127.0.0.1:1900".parse().unwrap();
        greeting.mqtts_at = Some("127.0.0.1:8883".parse().unwrap());
        greeting.https_at = Some("[::]:8443".parse().unwrap());
        let told = text(&greeting);
        assert!(told.contains("-h 127.0.0.1 -p 1900 -t"), "{told}");
        assert!(
            told.contains("  MQTTS 127.0.0.1:8883\n  HTTPS https://localhost:8443\n"),
            "{told}"
        );
    }
}
