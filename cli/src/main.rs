//! `corelog`: parses the command line and calls the libraries.

fn main() {}
