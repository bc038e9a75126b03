//! The messages between the owner of a store and those that are attached to it.
//!
//! A message that is read can be written and read again.

use registry_attach::hostile::{read_from_owner, read_from_peer, read_hello, read_welcome};

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "attach",
    run,
    dictionary: &[
        "{\"magic\":\"harness-attach\",\"protocol\":1,\"peer\":{\"pid\":1,\"version\":\"0.1.0\"},\"claim\":\"own\"}",
        "{\"ask\":{\"id\":1,\"request\":",
        "{\"answer\":{\"id\":1,\"answer\":{\"Ok\":",
        "{\"answer\":{\"id\":1,\"answer\":{\"Err\":",
        "{\"commit\":[",
        "{\"put\":{\"schema\":{\"major\":1,\"minor\":1},\"hash\":",
        "\"body\":\"00\"",
        "{\"precondition\":{\"index\":0}}",
        "{\"service\":\"a\"}",
        "{\"moved\":1}",
        "\"restoring\"",
        "\"yielding\"",
        "\"ping\"",
        "\"pong\"",
    ],
    engine: None,
};

fn run(input: &[u8]) {
    read_hello(input);
    read_welcome(input);
    read_from_peer(input);
    read_from_owner(input);
}
