//! Batteries: what they give is what the whole machine draws, while nothing else feeds it.

use crate::files::Files;

pub(crate) const SUPPLIES: &str = "/sys/class/power_supply";

/// Whether the machine has one; those of mice and headsets are not meant.
pub(crate) fn is_there(files: &Files) -> bool {
    files.paths(SUPPLIES, "").iter().any(|supply| is_battery(files, supply))
}

/// Watts; none on mains, and where one that gives does not say how much.
pub(crate) fn watts(files: &Files) -> Option<f64> {
    let mut sum = None;
    for supply in files.paths(SUPPLIES, "") {
        let at = |name: &str| format!("{supply}/{name}");
        if is_battery(files, &supply) {
            if files.text(&at("status"))? == "Discharging" {
                sum = Some(sum.unwrap_or(0.0) + given(files, &supply)?);
            }
        } else if files.text(&at("scope")).as_deref() != Some("Device")
            && files.number::<u32>(&at("online")).is_some_and(|online| online > 0)
        {
            return None;
        }
    }
    sum
}

fn is_battery(files: &Files, supply: &str) -> bool {
    let is = |name: &str, value: &str| {
        files.text(&format!("{supply}/{name}")).is_some_and(|text| text == value)
    };
    is("type", "Battery") && !is("scope", "Device") && !is("present", "0")
}

/// Microwatts, or microamperes and microvolts. Some drivers count what goes out as negative.
fn given(files: &Files, supply: &str) -> Option<f64> {
    let number = |name: &str| {
        let value = files.number::<i64>(&format!("{supply}/{name}"))?;
        Some(value.unsigned_abs() as f64 / 1e6)
    };
    number("power_now").or_else(|| Some(number("current_now")? * number("voltage_now")?))
}
