//! The services from outside: over TCP, with clients as proxies and operators have them.

mod access;
mod certificate_demands;
mod certificates;
mod challenges;
mod faults;
mod guard;
mod hosts;
mod memory;
mod operators;
mod past;
mod proxy;
mod reconnect;
mod replicas;
mod roles;
mod secrets;
mod stream;
mod tls_certificates;
mod world;
