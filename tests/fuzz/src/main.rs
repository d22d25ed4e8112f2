//! One program for all targets, because linking one takes longer than fuzzing one for a moment: `FUZZ=<target> fuzz ...`.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ").unwrap_or_default();
    let found = steward_fuzz::TARGETS.into_iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("FUZZ={name:?} names no target")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
