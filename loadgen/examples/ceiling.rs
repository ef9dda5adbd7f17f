//! What the generator reaches against a server that acknowledges at once, both on this machine's cores.
//!
//! `cargo run --release -p corelog-loadgen --example ceiling [RECORD_SIZE [BATCH_BYTES [PRODUCERS [IN_FLIGHT]]]]`

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use loadgen::{LoadOptions, Mode, run, sink};
use runtime::executor::{self, ExecutorOptions};
use runtime::net::TcpListener;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse().expect("a number")).collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        let cores = executor::affinity_cores();
        let _ = executor::run(ExecutorOptions::new("sink", cores[..1].to_vec()), move |_| {
            let found = found.clone();
            async move {
                let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
                found.send(listener.local_addr().expect("it is bound")).expect("main waits for it");
                let _ = sink::serve(listener, 8).await;
            }
        });
    });
    let server = address.recv().expect("the sink starts").to_string();
    let options = LoadOptions {
        record_size: number(0, 1_024),
        batch_bytes: number(1, 1 << 20),
        producers: number(2, 1),
        in_flight: number(3, 16),
        duration: Some(Duration::from_secs(5)),
        cores: executor::affinity_cores().into_iter().rev().take(1).collect(),
        ..LoadOptions::new(Mode::Produce, server, "ceiling")
    };
    match run(&options) {
        Ok(report) => println!("{report}"),
        Err(error) => eprintln!("{error}"),
    }
}
