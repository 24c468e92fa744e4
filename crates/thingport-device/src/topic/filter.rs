//! Topic filters of a device profile: MQTT semantics, all other characters literal (TP-014, T-2).

/// A profile's filter, ready to be compared with topics. Never a regular expression (L-16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: Box<str>,
    has_wildcard: bool,
}

impl Filter {
    /// Prepares a filter.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), has_wildcard: text.contains(['+', '#']) }
    }

    /// A topic that this filter matches: itself, or with words in place of the wildcards.
    #[must_use]
    pub(crate) fn example(text: &str) -> String {
        let words = text.split('/').map(|level| match level {
            "+" => "me",
            "#" => "attributes",
            level => level,
        });
        words.collect::<Vec<_>>().join("/")
    }

    /// Whether `topic` matches as a whole: `+` is one level that is not empty, `#` everything from its
    /// level on, its parent included (TP-015).
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if !self.has_wildcard {
            return *self.text == *topic;
        }
        let mut levels = topic.split('/');
        for wanted in self.text.split('/') {
            if wanted == "#" {
                return true;
            }
            let is_match = match levels.next() {
                Some(level) if wanted == "+" => !level.is_empty(),
                Some(level) => level == wanted,
                None => false,
            };
            if !is_match {
                return false;
            }
        }
        levels.next().is_none()
    }
}

/// Whether a filter of a SUBSCRIBE packet is well formed (U-7): `+` and `#` only as whole levels, `#`
/// only as the last, not empty.
#[must_use]
pub(crate) fn is_well_formed(filter: &str) -> bool {
    let (parents, last) = filter.rsplit_once('/').unwrap_or(("", filter));
    let is_level = |level: &str| level == "+" || !level.contains(['+', '#']);
    !filter.is_empty() && parents.split('/').all(is_level) && (last == "#" || is_level(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_filters_match_as_mqtt_says() {
        let rows = [
            ("#", "", true),
            ("#", "a/b/c", true),
            ("a/#", "a", true),
            ("a/#", "a/", true),
            ("a/#", "a/b", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a//c", false),
            ("a/+/c", "a/b", false),
            ("a/+/c", "a/b/c/d", false),
            ("a#", "a#", true),
            ("a#", "ab", false),
            ("+", "a", true),
            ("+", "", false),
            ("+", "a/b", false),
            ("a.b", "a.b", true),
            ("a.b", "axb", false),
            ("a.b/+", "axb/c", false),
            ("(a)/+", "a/b", false),
            ("a", "A", false),
            ("a", "a/", false),
        ];
        for (filter, topic, expected) in rows {
            assert_eq!(Filter::new(filter).matches(topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn ill_formed_filters_are_recognised() {
        for good in ["a", "+", "#", "a/+/b", "a/#", "/", "+/+", "/a", "((((", "$SYS/#"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in ["", "a#", "a/#/b", "a+", "+a/b", "#/a", "a/b#", "##", "++"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
