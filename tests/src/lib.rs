//! Both planes together against real parts: what their tests share.

pub mod campaign;
pub mod event_log;
