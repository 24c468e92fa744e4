//! Rate limits as ThingsBoard writes them: `100:1,2000:60` (device API RL-001, RL-003).

use core::fmt;

/// One part of a limit: at most `count` per `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateWindow {
    /// How many; also the size of a burst. At least 1.
    pub count: u32,
    /// In how many seconds. At least 1.
    pub seconds: u32,
}

/// Several parts that must all hold; without parts it is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// As configured, since clients get it back unchanged (CR-024); none when it never was.
    text: Option<String>,
    windows: Vec<RateWindow>,
}

/// Why a text is no rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitError {
    /// A part is not `count:seconds` with two positive whole numbers.
    NotCountColonSeconds,
    /// Two parts have the same number of seconds (RL-003).
    SecondsTwice,
    /// More parts than anybody needs (8).
    TooManyParts,
    /// A part allows so many in so long a time that it limits nothing.
    TooLarge,
}

impl fmt::Display for RateLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotCountColonSeconds => {
                "expected count:seconds, such as 100:1 or 100:1,2000:60, with positive whole numbers"
            }
            Self::SecondsTwice => "two parts have the same number of seconds; keep one of them",
            Self::TooManyParts => "more than 8 parts; keep the ones that matter",
            Self::TooLarge => "a part is so large that it limits nothing; leave it out",
        })
    }
}

impl RateLimit {
    /// Reads `count:seconds[,count:seconds...]`; blank text is unlimited.
    ///
    /// # Errors
    /// The first thing wrong with the text.
    pub fn parse(text: &str) -> Result<Self, RateLimitError> {
        let mut windows: Vec<RateWindow> = Vec::new();
        for part in text.split(',').filter(|_| !text.trim().is_empty()) {
            let window = RateWindow::parse(part)?;
            if windows.iter().any(|earlier| earlier.seconds == window.seconds) {
                return Err(RateLimitError::SecondsTwice);
            }
            if windows.len() == PARTS_MAX {
                return Err(RateLimitError::TooManyParts);
            }
            windows.push(window);
        }
        Ok(Self { text: Some(text.to_owned()), windows })
    }

    /// As configured; none when it was left out or null.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Its parts; all of them must hold.
    #[must_use]
    pub fn windows(&self) -> &[RateWindow] {
        &self.windows
    }

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.windows.is_empty()
    }
}

impl RateWindow {
    fn parse(part: &str) -> Result<Self, RateLimitError> {
        let wrong = RateLimitError::NotCountColonSeconds;
        let (count, seconds) = part.trim().split_once(':').ok_or(wrong)?;
        let count: u32 = count.parse().map_err(|_| wrong)?;
        let seconds: u32 = seconds.parse().map_err(|_| wrong)?;
        if count == 0 || seconds == 0 {
            return Err(wrong);
        }
        let window = Self { count, seconds };
        let fits = window.token().checked_mul(i64::from(count)).is_some_and(|it| it <= FULL_MAX);
        if fits { Ok(window) } else { Err(RateLimitError::TooLarge) }
    }

    /// What one token weighs when `count` is what a millisecond brings back: a bucket counts in
    /// whole numbers this way, however odd the limit.
    #[must_use]
    pub fn token(self) -> i64 {
        i64::from(self.seconds) * MS_PER_S
    }
}

impl fmt::Display for RateWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.count, self.seconds)
    }
}

/// Whose messages are counted together (device API 10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// All devices of one tenant.
    Tenant = 0,
    /// One device with a connection of its own.
    Device = 1,
    /// All devices behind one gateway.
    Gateway = 2,
    /// One gateway, for what it says about itself.
    GatewayDevice = 3,
}

impl LimitScope {
    /// Every scope, in order of their numbers.
    pub const ALL: [Self; 4] = [Self::Tenant, Self::Device, Self::Gateway, Self::GatewayDevice];

    /// ThingsBoard's word, as in `transport...RateLimit`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "Tenant",
            Self::Device => "Device",
            Self::Gateway => "Gateway",
            Self::GatewayDevice => "GatewayDevice",
        }
    }

    /// For people: whose limit it is.
    #[must_use]
    pub const fn whose(self) -> &'static str {
        match self {
            Self::Tenant => "all devices of the tenant",
            Self::Device => "one device",
            Self::Gateway => "all devices behind one gateway",
            Self::GatewayDevice => "the gateway itself",
        }
    }
}

/// What is counted (RL-005).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// Everything that carries no value.
    Messages = 0,
    /// Publications with values, attributes included.
    TelemetryMessages = 1,
    /// Their values.
    TelemetryPoints = 2,
}

impl LimitKind {
    /// Every kind, in order of their numbers.
    pub const ALL: [Self; 3] = [Self::Messages, Self::TelemetryMessages, Self::TelemetryPoints];

    /// ThingsBoard's word, as in `transport...RateLimit`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "Msg",
            Self::TelemetryMessages => "TelemetryMsg",
            Self::TelemetryPoints => "TelemetryDataPoints",
        }
    }

    /// For people: what is counted.
    #[must_use]
    pub const fn of_what(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::TelemetryMessages => "telemetry messages",
            Self::TelemetryPoints => "telemetry data points",
        }
    }
}

/// The member of a tenant profile that holds a limit: `transportDeviceTelemetryMsgRateLimit`.
#[must_use]
pub fn limit_member(scope: LimitScope, kind: LimitKind) -> String {
    format!("transport{}{}RateLimit", scope.name(), kind.name())
}

/// How much all devices of a tenant may say in a calendar month (RL-030); 0 is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonthlyQuota {
    /// `maxTransportMessages` of the tenant profile.
    pub messages: u64,
    /// `maxTransportDataPoints` of the tenant profile.
    pub points: u64,
}

impl MonthlyQuota {
    /// The member of the tenant profile's data that holds the messages.
    pub const MESSAGES: &str = "maxTransportMessages";
    /// The member of the tenant profile's data that holds the points.
    pub const POINTS: &str = "maxTransportDataPoints";

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_unlimited(self) -> bool {
        self.messages == 0 && self.points == 0
    }
}

/// All limits of a tenant profile that concern what devices say. Unlimited by default (RL-001).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// How much they may say in a month.
    pub monthly: MonthlyQuota,
    // Boxed on purpose: few tenants have limits, and profiles travel by value.
    limits: Box<[[RateLimit; LimitKind::ALL.len()]; LimitScope::ALL.len()]>,
}

impl RateLimits {
    /// The limit of one scope and kind.
    #[must_use]
    pub fn of(&self, scope: LimitScope, kind: LimitKind) -> &RateLimit {
        &self.limits[scope as usize][kind as usize]
    }

    /// The limits of one scope, in order of [`LimitKind::ALL`].
    #[must_use]
    pub fn scope(&self, scope: LimitScope) -> &[RateLimit; LimitKind::ALL.len()] {
        &self.limits[scope as usize]
    }

    /// Sets one limit.
    pub fn set(&mut self, scope: LimitScope, kind: LimitKind, limit: RateLimit) {
        self.limits[scope as usize][kind as usize] = limit;
    }

    /// Every scope and kind with its limit.
    pub fn iter(&self) -> impl Iterator<Item = (LimitScope, LimitKind, &RateLimit)> {
        LimitScope::ALL.into_iter().flat_map(move |scope| {
            LimitKind::ALL.into_iter().map(move |kind| (scope, kind, self.of(scope, kind)))
        })
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.monthly.is_unlimited()
            && self.limits.as_flattened().iter().all(RateLimit::is_unlimited)
    }
}

const PARTS_MAX: usize = 8;
const MS_PER_S: i64 = 1000;
/// Leaves room to add a second's refill and more without overflow.
const FULL_MAX: i64 = i64::MAX / 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_thingsboard_writes_them() {
        let limit = RateLimit::parse("100:1,2000:60").expect("a limit");
        let two = [RateWindow { count: 100, seconds: 1 }, RateWindow { count: 2000, seconds: 60 }];
        assert_eq!((limit.windows(), limit.text()), (&two[..], Some("100:1,2000:60")));
        assert_eq!(two[1].to_string(), "2000:60");
        for blank in ["", " "] {
            let limit = RateLimit::parse(blank).expect("unlimited");
            assert!(limit.is_unlimited() && limit.text() == Some(blank));
        }
        assert_eq!(RateLimit::default().text(), None);
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        use RateLimitError as E;
        for wrong in ["1", "1:", ":1", "a:b", "1:0", "0:1", "1:1,", "-1:1", "1:1:1", ","] {
            assert_eq!(RateLimit::parse(wrong), Err(E::NotCountColonSeconds), "{wrong}");
        }
        assert_eq!(RateLimit::parse("1:1,2:1"), Err(E::SecondsTwice));
        assert_eq!(RateLimit::parse("4294967295:4294967295"), Err(E::TooLarge));
        let nine: Vec<_> = (1..=9).map(|it| format!("{it}:{it}")).collect();
        assert_eq!(RateLimit::parse(&nine.join(",")), Err(E::TooManyParts));
        assert!(RateLimit::parse(&nine[1..].join(",")).is_ok());
    }

    #[test]
    fn each_scope_and_kind_has_its_own_place_and_name() {
        let mut limits = RateLimits::default();
        assert!(limits.is_unlimited());
        let names: Vec<_> =
            limits.iter().map(|(scope, kind, _)| limit_member(scope, kind)).collect();
        assert_eq!(names.len(), 12);
        assert!(names.contains(&"transportGatewayDeviceTelemetryDataPointsRateLimit".to_owned()));
        let (scope, kind) = (LimitScope::Gateway, LimitKind::TelemetryMessages);
        limits.set(scope, kind, RateLimit::parse("1:1").expect("a limit"));
        assert!(!limits.is_unlimited());
        let limited: Vec<_> = limits.iter().filter(|(.., limit)| !limit.is_unlimited()).collect();
        assert_eq!(limited, [(scope, kind, limits.of(scope, kind))]);
    }
}
