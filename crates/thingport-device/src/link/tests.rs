//! A link keeps the promises of topics, subscriptions and profiles.
