//! A server of our own for every test: port 0, a directory of its own, an upstream that does what the test says.

pub(crate) mod app;
pub(crate) mod aws;

pub(crate) use app::{Reply, Setup, TestApp};

#[path = "../../../src/upstream/fake.rs"]
#[expect(dead_code, reason = "the scripted upstream is shared with the unit tests of `upstream`, which use more of it")]
pub(crate) mod fake;
