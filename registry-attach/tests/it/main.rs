//! Several openers of one path.
