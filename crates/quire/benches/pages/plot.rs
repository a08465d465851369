//! The plot of the time of a page by its depth.

use std::path::Path;

use plotters::prelude::*;

use crate::{Result, measure::Depth, report::thousands, timing::Time};

const SIZE: (u32, u32) = (760, 420);
/// The background is transparent, so the colours must be visible on white and on black.
const TEXT: RGBColor = RGBColor(125, 130, 138);
const BY_OFFSET: RGBColor = RGBColor(217, 95, 60);
const BY_TOKEN: RGBColor = RGBColor(40, 150, 160);

/// Writes the plot as SVG: two lines, with a logarithmic time axis.
pub(crate) fn write(file: &Path, depths: &[Depth], rows: u64) -> Result<()> {
    let by_offset: Vec<_> = depths.iter().map(|depth| (depth.rows, in_milliseconds(depth.by_offset))).collect();
    let by_token: Vec<_> = depths.iter().map(|depth| (depth.rows, in_milliseconds(depth.by_token))).collect();
    let times = by_offset.iter().chain(&by_token).map(|(_, time)| *time);
    let (least, most) = times.fold((f64::MAX, f64::MIN), |(least, most), time| (least.min(time), most.max(time)));
    let deepest = depths.iter().map(|depth| depth.rows).max().unwrap_or_default();

    let text = |size: i32| ("sans-serif", size).into_font().color(&TEXT);
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("Time of a page of 50 rows, of {}", thousands(rows)), text(20))
        .margin(12)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(0..deepest, (least / 2.0..most * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(TEXT.mix(0.3))
        .axis_style(TEXT)
        .label_style(text(16))
        .axis_desc_style(text(17))
        .x_desc("rows before the page")
        .x_label_formatter(&|rows| thousands(*rows))
        .y_label_formatter(&|time| format!("{time} ms"))
        .draw()?;
    for (points, color, name) in [(by_offset, BY_OFFSET, "by OFFSET"), (by_token, BY_TOKEN, "by token")] {
        let end = points.last().map(|&(depth, time)| {
            let style = ("sans-serif", 18).into_font().color(&color);
            EmptyElement::at((depth, time)) + Text::new(format!("{name}: {time:.1} ms"), (-150, -28), style)
        });
        chart.draw_series(LineSeries::new(points, color.stroke_width(3).filled()).point_size(4))?;
        chart.draw_series(end)?;
    }
    area.present()?;
    drop(chart);
    eprintln!("wrote {}", std::path::absolute(file)?.display());
    Ok(())
}

fn in_milliseconds(time: Time) -> f64 {
    time.as_secs_f64() * 1e3
}
