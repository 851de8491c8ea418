//! Traces: spans, their attributes, and their export, including to a collector of another project.

mod agent;
mod collector;
mod delivery;
mod seen;
mod spans;
