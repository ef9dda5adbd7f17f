//! `docs/crash-testing.md` says which test proves what: each name there is a test in the file it names, and each file here
//! is run.

use std::path::Path;

#[test]
fn every_test_that_the_crash_testing_document_names_is_in_the_file_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = std::fs::read_to_string(root.join("docs/crash-testing.md")).expect("the document");
    let (mut rows, mut names) = (0, 0);
    for row in document.lines().filter(|line| line.starts_with("| ") && line.contains("/tests/")) {
        rows += 1;
        let mut source = String::new();
        for quoted in row.split('`').skip(1).step_by(2) {
            if quoted.ends_with(".rs") {
                source = std::fs::read_to_string(root.join(quoted))
                    .unwrap_or_else(|error| panic!("{quoted}: {error}"));
            } else {
                names += 1;
                assert!(
                    source.contains(&format!("#[test]\nfn {quoted}()")),
                    "no test {quoted} in its file: {row}"
                );
            }
        }
    }
    assert!(rows >= 25 && names >= rows, "{rows} rows with {names} names");
}

#[test]
fn every_file_of_tests_is_a_module_of_the_program_or_a_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let main = std::fs::read_to_string(folder.join("main.rs")).expect("the program");
    let files = std::fs::read_dir(folder).expect("the folder");
    let names = files.map(|file| file.expect("an entry").file_name().into_string().expect("a plain name"));
    let left_out: Vec<String> = names
        .filter(|name| !["main.rs", "leaks.rs"].contains(&name.as_str()))
        .filter(|name| !main.contains(&format!("\nmod {};\n", name.trim_end_matches(".rs"))))
        .collect();
    assert!(left_out.is_empty(), "nobody runs {left_out:?}");
}
