//! The macro that turns one table of keys into the typed configuration and the list of keys, so that
//! a key cannot exist in one and be missing in the other.

use super::setting::{Form, Found, Setting};

/// One key of the configuration `C`.
pub(crate) struct Key<C> {
    /// Section and key: `mqtt.bind`.
    pub(crate) name: &'static str,
    /// What kind of value it takes: `duration`.
    pub(crate) kind: &'static str,
    /// Lowest and highest value allowed, as they would be written.
    pub(crate) range: Option<(&'static str, &'static str)>,
    /// Whether its value must not appear in a message.
    pub(crate) is_secret: bool,
    /// Meaning and trade-off, one entry per line.
    pub(crate) doc: &'static [&'static str],
    /// Puts a found value into the configuration; the error is what was expected instead.
    pub(crate) set: fn(&mut C, &Found) -> Result<(), String>,
    /// The value in force, as TOML.
    pub(crate) show: fn(&C) -> String,
}

/// One section of the configuration.
pub(crate) struct Section {
    /// `mqtt`.
    pub(crate) name: &'static str,
    /// What its keys are about, one entry per line.
    pub(crate) doc: &'static [&'static str],
}

/// Reads `found` as a value within `range`; the error says what was expected.
pub(crate) fn read_within<T: Setting>(
    found: &Found,
    range: Option<(&str, &str)>,
) -> Result<T, String> {
    let Some((low, high)) = range else {
        return T::read(found).ok_or_else(|| T::EXPECTED.to_owned());
    };
    T::read(found)
        .filter(|value| *value >= written(low) && *value <= written(high))
        .ok_or_else(|| format!("{} from {low} to {high}", T::EXPECTED))
}

/// A value written in the table itself.
#[expect(clippy::panic, reason = "only for texts of the key table; a test reads every one of them")]
pub(crate) fn written<T: Setting>(text: &str) -> T {
    match T::read(&Found::new(Form::Bare, text)) {
        Some(value) => value,
        None => panic!("the key table holds {text:?} where it needs {}", T::EXPECTED),
    }
}

macro_rules! sections {
    ($(
        $(#[doc = $about:literal])*
        $section:ident: $Struct:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $Type:ty = $default:literal $(from $low:literal to $high:literal)?;
            )*
        }
    )*) => {
        /// Everything an operator may set, already valid. Each room receives its own part.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct Config {
            $( $(#[doc = $about])* pub(crate) $section: $Struct, )*
        }

        $(
            $(#[doc = $about])*
            #[derive(Clone, Debug, PartialEq)]
            pub(crate) struct $Struct {
                $( $(#[doc = $doc])* pub(crate) $key: $Type, )*
            }
        )*

        impl Config {
            /// Every key at the default its table row gives; hosts of binds are still open.
            pub(crate) fn from_table() -> Self {
                Self {
                    $( $section: $Struct { $( $key: $crate::config::table::written($default), )* }, )*
                }
            }
        }

        /// The sections in the order of the table.
        pub(crate) const SECTIONS: &[$crate::config::table::Section] = &[
            $( $crate::config::table::Section {
                name: stringify!($section),
                doc: &[$($about),*],
            }, )*
        ];

        /// Every key in the order of the table.
        pub(crate) const KEYS: &[$crate::config::table::Key<Config>] = &[
            $($( $crate::config::table::Key {
                name: concat!(stringify!($section), ".", stringify!($key)),
                kind: <$Type as $crate::config::setting::Setting>::KIND,
                range: sections!(@range $($low $high)?),
                is_secret: <$Type as $crate::config::setting::Setting>::IS_SECRET,
                doc: &[$($doc),*],
                set: |config, found| {
                    config.$section.$key = $crate::config::table::read_within(
                        found,
                        sections!(@range $($low $high)?),
                    )?;
                    Ok(())
                },
                show: |config| {
                    $crate::config::setting::Setting::show(&config.$section.$key)
                },
            }, )*)*
        ];
    };
    (@range) => { None };
    (@range $low:literal $high:literal) => { Some(($low, $high)) };
}
pub(crate) use sections;
