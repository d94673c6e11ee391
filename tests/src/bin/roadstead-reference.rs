//! Writes the page of all keys of both planes' configuration into the chart.

use std::fs;

use roadstead_tests::deploy::{
    chart,
    reference::{PAGE, page},
};

fn main() -> anyhow::Result<()> {
    Ok(fs::write(chart::folder().join(PAGE), page()?)?)
}
