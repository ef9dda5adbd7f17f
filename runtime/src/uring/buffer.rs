//! Aligned memory: glommio's DMA buffers.

use std::rc::Rc;

use glommio::io::{DmaBuffer, ReadResult};

/// Memory that this process allocated, aligned to 4096 and always initialised. A clone is the same memory.
#[derive(Clone)]
pub(crate) struct Block(Rc<DmaBuffer>);

/// Memory that a read returned: glommio's own, from the executor's registered region or the heap. It cannot be written
/// to a file again without a copy.
pub(crate) type ReadBlock = ReadResult;

impl Block {
    pub(crate) fn zeroed(length: usize) -> Block {
        // glommio refuses to allocate nothing, and what it allocates is not initialised.
        let mut buffer = glommio::allocate_dma_buffer_global(length.max(1));
        buffer.as_bytes_mut().fill(0);
        buffer.trim_to_size(length);
        Block(Rc::new(buffer))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// # Panics
    /// While a clone exists: the kernel may be reading the memory.
    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        Rc::get_mut(&mut self.0).expect("the buffer is being written to a file").as_bytes_mut()
    }

    pub(crate) fn is_shared(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    pub(crate) fn into_dma(self) -> Rc<DmaBuffer> {
        self.0
    }
}
