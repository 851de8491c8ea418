//! Traces: which spans there are, what they say, and how they come to a collector, that of another project among them.

mod agent;
mod collector;
mod delivery;
mod seen;
mod spans;
