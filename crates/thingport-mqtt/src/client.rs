//! The client's half, for tests and the load generator.
