//! Executors, tasks, clocks, files and sockets, on glommio or on a deterministic simulator.
