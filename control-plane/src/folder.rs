//! NOTE FROM THE LEAD: folder.rs + folder/* are being written by the lead on main as well. Do
//! not write them. Your remaining work is watch.rs (+ watch/*) only: report as soon as it is
//! done. `Observation::Listed` gets a further field on main (`unreadable: Vec<Unreadable>`,
//! empty for Kubernetes). Delete this file before you merge.
