//! All kept inputs, replayed without the fuzzer.

use std::{fs, panic::catch_unwind, path::Path};

use steward_fuzz::TARGETS;

#[test]
fn every_kept_input_holds_every_promise() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        target(b"");
        let files = fs::read_dir(seeds.join(name)).unwrap_or_else(|_| panic!("no seeds of {name}"));
        let mut count = 0;
        for file in files {
            let file = file.unwrap().path();
            let input = fs::read(&file).unwrap();
            count += 1;
            if catch_unwind(|| target(&input)).is_err() {
                broken.push(file);
            }
        }
        assert!(count > 0, "no seeds of {name}");
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
