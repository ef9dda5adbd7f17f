//! Produce requests without an answer yet. Hot path: a place is reused, nothing is allocated for a request.

use runtime::clock::Instant;

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) correlation_id: u64,
    pub(super) bytes: u32,
    /// Of the receive buffer that its batch keeps, beside the batch.
    pub(super) overhead: u32,
    pub(super) received_at: Instant,
    /// False: nobody wants to know.
    pub(super) acknowledge: bool,
}

/// The requests of one connection. A request's place is the token of its append.
#[derive(Default)]
pub(super) struct InFlight {
    places: Vec<Request>,
    free: Vec<u32>,
    bytes: usize,
    overhead: usize,
}

impl InFlight {
    /// Keeps a request; its token.
    #[inline]
    pub(super) fn add(&mut self, request: Request) -> u64 {
        self.bytes += request.bytes as usize;
        self.overhead += request.overhead as usize;
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = request;
                u64::from(place)
            }
            None => {
                self.places.push(request);
                (self.places.len() - 1) as u64
            }
        }
    }

    /// The request of a token, which is free from now on.
    #[inline]
    pub(super) fn remove(&mut self, token: u64) -> Request {
        let request = self.places[token as usize];
        self.bytes -= request.bytes as usize;
        self.overhead -= request.overhead as usize;
        self.free.push(token as u32);
        assert!(self.free.len() <= self.places.len(), "token {token} was answered twice");
        if self.free.len() == self.places.len() {
            self.places.clear();
            self.free.clear();
        }
        request
    }

    /// Gives back the memory of a busier time.
    pub(super) fn shrink(&mut self) {
        if self.len() == 0 {
            *self = Self::default();
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Bytes of their batches.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of receive buffers that these batches keep, beside the batches.
    pub(super) fn overhead(&self) -> usize {
        self.overhead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_requests_hold_is_counted_until_each_is_answered() {
        let mut in_flight = InFlight::default();
        let request = |bytes, overhead| Request {
            correlation_id: 1,
            bytes,
            overhead,
            received_at: Instant::from_nanos(0),
            acknowledge: true,
        };
        let tokens =
            [(100, 84), (2_000, 500_000)].map(|(bytes, overhead)| in_flight.add(request(bytes, overhead)));
        assert_eq!((in_flight.len(), in_flight.bytes(), in_flight.overhead()), (2, 2_100, 500_084));
        in_flight.remove(tokens[1]);
        assert_eq!((in_flight.len(), in_flight.bytes(), in_flight.overhead()), (1, 100, 84));
        in_flight.remove(tokens[0]);
        assert_eq!((in_flight.len(), in_flight.bytes(), in_flight.overhead()), (0, 0, 0));
    }
}
