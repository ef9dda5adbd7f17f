//! The kernel's random numbers, drawn a block at a time: a system call for each would show in the load generator.

use std::cell::RefCell;

use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel promises whole, uninterrupted answers up to this size.
const BLOCK_BYTES: usize = 256;

struct Drawn {
    block: [u8; BLOCK_BYTES],
    used: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { block: [0; BLOCK_BYTES], used: BLOCK_BYTES }) };
}

/// Fills `bytes` with random bytes.
pub fn fill(bytes: &mut [u8]) {
    DRAWN.with_borrow_mut(|drawn| {
        let mut rest = bytes;
        while !rest.is_empty() {
            if drawn.used == BLOCK_BYTES {
                draw(&mut drawn.block);
                drawn.used = 0;
            }
            let count = rest.len().min(BLOCK_BYTES - drawn.used);
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&drawn.block[drawn.used..drawn.used + count]);
            drawn.used += count;
            rest = later;
        }
    });
}

fn draw(block: &mut [u8; BLOCK_BYTES]) {
    loop {
        match getrandom(&mut block[..], GetRandomFlags::empty()) {
            Ok(BLOCK_BYTES) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random numbers: {error}"),
        }
    }
}
