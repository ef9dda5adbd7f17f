//! The formats that leave a process: frames, native messages, record batches. A pure codec, no I/O, no async.
