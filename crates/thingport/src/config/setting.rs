//! The kinds of values a key may have, how each is read from text and shown as TOML.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use thingport_core::guard::Network;
use thingport_device::sparkplug::topic::is_id;

/// A value as it was found, before it has a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    form: Form,
    text: String,
}

/// How a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Outside of TOML, where everything is text and the key's type decides.
    Bare,
    /// A TOML string.
    String,
    /// A TOML integer.
    Integer,
    /// A TOML float.
    Float,
    /// A TOML boolean.
    Boolean,
    /// A TOML date or time.
    Date,
    /// A TOML array.
    Array,
    /// A TOML table.
    Table,
}

impl Found {
    /// The value `text`, written as `form`.
    pub(crate) fn new(form: Form, text: &str) -> Self {
        Self { form, text: text.to_owned() }
    }

    /// The text, if it was written in one of `forms` or outside of TOML.
    fn text_of(&self, forms: &[Form]) -> Option<&str> {
        (self.form == Form::Bare || forms.contains(&self.form)).then_some(self.text.as_str())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.form {
            Form::Bare if self.text.is_empty() => f.write_str("nothing"),
            Form::Bare => f.write_str(&quoted(&self.text)),
            Form::String => write!(f, "the string {}", quoted(&self.text)),
            Form::Integer | Form::Float => write!(f, "the number {}", self.text),
            Form::Boolean => f.write_str(&self.text),
            Form::Date => write!(f, "the date {}", self.text),
            Form::Array => f.write_str("a list"),
            Form::Table => f.write_str("a table"),
        }
    }
}

/// A type a key may have.
pub(crate) trait Setting: PartialOrd + Sized {
    /// Its name in the reference.
    const KIND: &'static str;
    /// Completes the sentence "expected ...".
    const EXPECTED: &'static str;
    /// Whether values must not appear in messages.
    const IS_SECRET: bool = false;
    /// The value, or nothing when `found` is not one.
    fn read(found: &Found) -> Option<Self>;
    /// The value as TOML; [`Setting::read`] takes it back.
    fn show(&self) -> String;
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct Bind {
    /// Name or address, IPv6 without brackets; never empty once the configuration is assembled.
    pub(crate) host: String,
    /// Port; 0 lets the system choose one.
    pub(crate) port: u16,
}

impl Bind {
    /// Sets the host if only a port was given.
    pub(crate) fn complete_host(&mut self, host: &str) {
        if self.host.is_empty() {
            host.clone_into(&mut self.host);
        }
    }

    /// Whether both could not be listened on together. Names are not looked up.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let every = |host: &str| matches!(host, "0.0.0.0" | "::");
        self.port != 0
            && self.port == other.port
            && (self.host == other.host || every(&self.host) || every(&other.host))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Setting for Bind {
    const KIND: &'static str = "address";
    const EXPECTED: &'static str = "an address such as \"0.0.0.0:1883\", \":1883\" or 1883";

    fn read(found: &Found) -> Option<Self> {
        let text = found.text_of(&[Form::String, Form::Integer])?;
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().ok().map(|_| inner)?,
            None => host.bytes().all(is_host_byte).then_some(host)?,
        };
        let port = digits(port)?.parse().ok()?;
        Some(Self { host: host.to_owned(), port })
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// An address to listen on, or nowhere.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct OptionalBind(pub(crate) Option<Bind>);

impl Setting for OptionalBind {
    const KIND: &'static str = "address or off";
    const EXPECTED: &'static str =
        "an address such as \"0.0.0.0:8883\", \":8883\" or 8883, or \"off\"";

    fn read(found: &Found) -> Option<Self> {
        match found.text_of(&[Form::String, Form::Integer])? {
            "off" => Some(Self(None)),
            _ => Bind::read(found).map(|bind| Self(Some(bind))),
        }
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or_else(|| quoted("off"), Setting::show)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct ByteSize(pub(crate) u64);

impl ByteSize {
    /// The number as a size in memory; more than the machine can address is as good as its limit.
    pub(crate) fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Setting for ByteSize {
    const KIND: &'static str = "size";
    const EXPECTED: &'static str = "a size with its unit (B, KiB, MiB, GiB) such as \"64KiB\"";

    fn read(found: &Found) -> Option<Self> {
        read_quantity(found.text_of(&[Form::String])?, SIZE_UNITS).map(Self)
    }

    fn show(&self) -> String {
        show_quantity(self.0, SIZE_UNITS)
    }
}

impl Setting for Duration {
    const KIND: &'static str = "duration";
    const EXPECTED: &'static str = "a duration with its unit (ms, s, m, h, d) such as \"10s\"";

    fn read(found: &Found) -> Option<Self> {
        // Nought is the same in every unit, so it needs none.
        let text = match found.text_of(&[Form::String, Form::Integer])? {
            "0" => "0s",
            _ => found.text_of(&[Form::String])?,
        };
        read_quantity(text, TIME_UNITS).map(Self::from_millis)
    }

    fn show(&self) -> String {
        let ms = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 { quoted("0") } else { show_quantity(ms, TIME_UNITS) }
    }
}

/// Reads a whole number with one of `units`; the result counts the smallest unit.
fn read_quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest of `units` that gives a whole number. Units stand from small to large.
fn show_quantity(count: u64, units: &[(&str, u64)]) -> String {
    let whole =
        units.iter().rev().find(|(_, factor)| count >= *factor && count.is_multiple_of(*factor));
    let (unit, factor) = whole.copied().unwrap_or(units[0]);
    quoted(&format!("{}{unit}", count / factor))
}

impl Setting for u16 {
    const KIND: &'static str = "number";
    const EXPECTED: &'static str = "a whole number";

    fn read(found: &Found) -> Option<Self> {
        digits(found.text_of(&[Form::Integer])?)?.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    const KIND: &'static str = "number";
    const EXPECTED: &'static str = "a whole number";

    fn read(found: &Found) -> Option<Self> {
        digits(found.text_of(&[Form::Integer])?)?.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// `text` if it is digits only: no sign, as [`str::parse`] would allow.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

impl Setting for bool {
    const KIND: &'static str = "flag";
    const EXPECTED: &'static str = "true or false";

    fn read(found: &Found) -> Option<Self> {
        found.text_of(&[Form::Boolean])?.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    const KIND: &'static str = "text";
    const EXPECTED: &'static str = "a text that is not empty";

    fn read(found: &Found) -> Option<Self> {
        let text = found.text_of(&[Form::String])?;
        is_plain_text(text).then(|| text.to_owned())
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

/// A name that can be a level of a topic.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct HostId(pub(crate) String);

impl Setting for HostId {
    const KIND: &'static str = "text";
    const EXPECTED: &'static str = "a text that is not empty and has no +, / or #";

    fn read(found: &Found) -> Option<Self> {
        String::read(found).filter(|text| is_id(text)).map(Self)
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "path";
    const EXPECTED: &'static str = "a path in UTF-8 that is not empty";

    fn read(found: &Found) -> Option<Self> {
        String::read(found).map(Self::from)
    }

    fn show(&self) -> String {
        quoted(&self.display().to_string())
    }
}

/// A text, empty for none.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct OptionalText(pub(crate) String);

impl Setting for OptionalText {
    const KIND: &'static str = "text";
    const EXPECTED: &'static str = "a text without control characters, or \"\" for none";

    fn read(found: &Found) -> Option<Self> {
        let text = found.text_of(&[Form::String])?;
        (text.is_empty() || is_plain_text(text)).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// A path, or none.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct OptionalPath(pub(crate) Option<PathBuf>);

impl Setting for OptionalPath {
    const KIND: &'static str = "path";
    const EXPECTED: &'static str = "a path in UTF-8, or \"\" for none";

    fn read(found: &Found) -> Option<Self> {
        match found.text_of(&[Form::String])? {
            "" => Some(Self(None)),
            _ => PathBuf::read(found).map(|path| Self(Some(path))),
        }
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or_else(|| quoted(""), Setting::show)
    }
}

/// A text that is not shown to anybody; empty for none.
#[derive(Clone, PartialEq, PartialOrd)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(set)" })
    }
}

impl Setting for Secret {
    const KIND: &'static str = "secret";
    const EXPECTED: &'static str = "a text without control characters";
    const IS_SECRET: bool = true;

    fn read(found: &Found) -> Option<Self> {
        let text = found.text_of(&[Form::String])?;
        (text.is_empty() || is_plain_text(text)).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        // A comment, so that what was printed is not taken for the secret when it is read back.
        if self.0.is_empty() { quoted("") } else { "\"\" # set, not shown".to_owned() }
    }
}

/// DNS names and IP addresses; may be empty, no more than a certificate should hold.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl Setting for Names {
    const KIND: &'static str = "list";
    const EXPECTED: &'static str =
        "up to 32 DNS names or IP addresses, as a list of strings or with commas between them";

    fn read(found: &Found) -> Option<Self> {
        let text = found.text_of(&[Form::String, Form::Array])?;
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let names: Vec<_> = parts.map(str::to_owned).collect();
        let is_right = names.len() <= NAMES_MAX && names.iter().all(|name| is_name(name));
        is_right.then_some(Self(names))
    }

    fn show(&self) -> String {
        if self.0.is_empty() {
            return quoted("");
        }
        let names = self.0.iter().map(|name| quoted(name)).collect::<Vec<_>>();
        format!("[{}]", names.join(", "))
    }
}

/// Whether a certificate may carry it: an address, or a DNS name whose first label may be a star.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_middle = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(is_middle)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host = text.strip_prefix("*.").unwrap_or(text);
    text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && host.split('.').all(is_label))
}

/// Networks by address and length; may be empty.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct Networks(pub(crate) Vec<Network>);

impl Setting for Networks {
    const KIND: &'static str = "list";
    const EXPECTED: &'static str = "up to 64 addresses or networks such as \"10.0.0.0/8\", as a list of \
                                    strings or with commas between them";

    fn read(found: &Found) -> Option<Self> {
        let text = found.text_of(&[Form::String, Form::Array])?;
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(Network::parse).collect::<Option<Vec<_>>>()?;
        (networks.len() <= NETWORKS_MAX).then_some(Self(networks))
    }

    fn show(&self) -> String {
        if self.0.is_empty() {
            return quoted("");
        }
        let networks = self.0.iter().map(|network| quoted(&network.to_string()));
        format!("[{}]", networks.collect::<Vec<_>>().join(", "))
    }
}

/// Not empty, no control characters, and not what is left of bytes that were not UTF-8.
fn is_plain_text(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER)
}

macro_rules! choice {
    ($(#[doc = $doc:literal])* $Name:ident $expected:literal { $($Variant:ident $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
        pub(crate) enum $Name {
            $( #[doc = concat!("`", $word, "`")] $Variant, )*
        }

        impl Setting for $Name {
            const KIND: &'static str = "choice";
            const EXPECTED: &'static str = $expected;

            fn read(found: &Found) -> Option<Self> {
                match found.text_of(&[Form::String])? {
                    $( $word => Some(Self::$Variant), )*
                    _ => None,
                }
            }

            fn show(&self) -> String {
                quoted(self.name())
            }
        }

        impl $Name {
            /// The word in the configuration.
            pub(crate) const fn name(self) -> &'static str {
                match self { $( Self::$Variant => $word, )* }
            }
        }
    };
}

choice! {
    /// How severe a log line must be to be written.
    Level "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"" {
        Error "error",
        Warn "warn",
        Info "info",
        Debug "debug",
        Trace "trace",
    }
}

choice! {
    /// The order in which pending calls are sent, in ThingsBoard's words.
    Strategy "one of \"BURST\", \"SEQUENTIAL_ON_ACK_FROM_DEVICE\", \"SEQUENTIAL_ON_RESPONSE_FROM_DEVICE\"" {
        Burst "BURST",
        OnAcknowledgement "SEQUENTIAL_ON_ACK_FROM_DEVICE",
        OnAnswer "SEQUENTIAL_ON_RESPONSE_FROM_DEVICE",
    }
}

choice! {
    /// How a log line is written.
    Format "\"text\" or \"json\"" {
        Text "text",
        Json "json",
    }
}

choice! {
    /// The oldest version of TLS that is spoken.
    TlsVersion "\"1.2\" or \"1.3\"" {
        Tls12 "1.2",
        Tls13 "1.3",
    }
}

/// `text` as a basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Networks that are looked through for each new connection.
const NETWORKS_MAX: usize = 64;
/// Names one certificate should not exceed; the machine's own come on top.
const NAMES_MAX: usize = 32;

const SIZE_UNITS: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// In milliseconds.
const TIME_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
