//! Doors for the fuzzer: arbitrary bytes in, promises checked inside.
