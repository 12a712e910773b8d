//! The plots: bars for what is compared, lines for what grows. Dark on white, with the unit at every axis.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{firsts, folder};
use crate::rows::Row;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(222, 224, 228);
const OWN: RGBColor = RGBColor(20, 110, 180);
const PEER: RGBColor = RGBColor(160, 168, 180);
/// Apart from each other for those who see colours differently, too.
const LINES: [RGBColor; 5] =
    [OWN, RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(140, 80, 160), RGBColor(120, 120, 120)];

/// A named line.
type Series = (String, Vec<(f64, f64)>);

/// Axes, lines and their legend: the same for a chart on any kind of scale, which are all of different types.
macro_rules! draw {
    ($chart:expr, $x_title:expr, $y_title:expr, $series:expr) => {{
        let mut mesh = $chart.configure_mesh();
        mesh.x_desc($x_title).y_desc($y_title).axis_style(INK).bold_line_style(FAINT).light_line_style(TRANSPARENT);
        mesh.label_style(font(12)).axis_desc_style(font(13)).x_label_formatter(&short).y_label_formatter(&short);
        mesh.draw()?;
        for ((name, points), colour) in $series.iter().zip(LINES) {
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
            let sample = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
            $chart.draw_series(line)?.label(name).legend(sample);
        }
        let mut legend = $chart.configure_series_labels();
        legend
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.8))
            .label_font(font(12))
            .draw()?;
    }};
}

/// Every plot that there are figures for.
///
/// # Errors
///
/// When a file cannot be written.
pub fn all(rows: &[Row]) -> Result {
    std::fs::create_dir_all(folder())?;
    ratios(rows)?;
    lines(rows, "growth-sessions.svg", "sessions", "Cost by number of sessions", "sessions", "ns per operation")?;
    lines(rows, "growth-payload.svg", "payload", "Cost by size of a session", "bytes of JSON", "ns per operation")?;
    lines(rows, "growth-threads.svg", "threads", "Throughput by threads, 2 cores", "threads", "million per second")?;
    survival(rows)?;
    worst(rows)
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// A number at an axis.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what plotters calls")]
fn short(value: &f64) -> String {
    match *value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        _ => value.to_string(),
    }
}

/// One group of bars.
struct Bars {
    title: String,
    bars: Vec<(String, f64, String)>,
}

/// How many times lembro's time everybody takes.
fn ratios(rows: &[Row]) -> Result {
    let panels = [
        ("get", "100k uniform, 1 thread, serialized", "get, each waiting for the one before"),
        ("get", "100k uniform, 2 threads, throughput", "get, 2 threads at once"),
        ("cycle", "100k uniform, 1 thread", "a request, 1 thread"),
        ("cycle", "100k uniform, 2 threads", "a request, 2 threads"),
        ("create", "1 thread", "login, 1 thread"),
        ("churn", "1 thread", "flood of a full store, 1 thread"),
    ];
    let groups = panels.map(|(work, case, title)| {
        let of = |row: &&Row| row.work == work && row.case == case && row.store != "lembro Sessions";
        let bar = |row: &Row| Some((row.store.clone(), row.ratio?.median, format!("{:.2} x", row.ratio?.median)));
        let mut bars: Vec<_> = rows.iter().filter(of).filter_map(bar).collect();
        if let Some(own) = rows.iter().filter(of).find(|row| row.store == "lembro") {
            bars.push(("lembro".into(), 1.0, format!("{:.0} ns", own.value)));
        }
        Bars { title: title.into(), bars }
    });
    bars("ratios.svg", "Time per operation, in lembro's: logarithmic, shorter is better", groups.into(), 0.5)
}

/// The longest single wait, where it is long.
fn worst(rows: &[Row]) -> Result {
    let panels = [
        ("growth", "worst", "the longest login while growing to 1M sessions"),
        ("purge", "1 % expired, a read, worst", "the longest read during a purge of 10,000 out of 1M"),
    ];
    let groups = panels.map(|(work, case, title)| {
        let of = rows.iter().filter(|row| row.work == work && row.case == case);
        let bar = |row: &Row| (row.store.clone(), row.value / 1e3, format!("{:.2} ms", row.value / 1e3));
        Bars { title: title.into(), bars: of.map(bar).collect() }
    });
    bars("worst.svg", "The longest wait, milliseconds on a logarithmic scale", groups.into(), 0.01)
}

/// Groups of horizontal bars, shortest first, on one logarithmic scale that begins at `from`.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "pixels")]
fn bars(file: &str, title: &str, mut groups: Vec<Bars>, from: f64) -> Result {
    const WIDTH: i32 = 900;
    const LEFT: i32 = 210;
    const RIGHT: i32 = 90;
    const ROW: i32 = 20;
    const HEAD: i32 = 34;
    const TOP: i32 = 44;
    groups.retain(|group| !group.bars.is_empty());
    if groups.is_empty() {
        return Ok(());
    }
    let height = groups.iter().map(|group| HEAD + ROW * group.bars.len() as i32).sum::<i32>() + TOP + 16;
    let most = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.1).fold(from * 2.0, f64::max);
    let span = f64::from(WIDTH - LEFT - RIGHT);
    let x = |value: f64| LEFT + (span * (value.max(from) / from).ln() / (most / from).ln()) as i32;

    let path = folder().join(file);
    let root = SVGBackend::new(&path, (WIDTH.cast_unsigned(), height.cast_unsigned())).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(title, (12, 12), font(19)))?;
    let mut tick = 10f64.powf(from.log10().ceil());
    while tick <= most {
        root.draw(&PathElement::new([(x(tick), TOP), (x(tick), height - 16)], FAINT))?;
        root.draw(&Text::new(
            tick.to_string(),
            (x(tick), height - 3),
            font(12).pos(Pos::new(HPos::Center, VPos::Bottom)),
        ))?;
        tick *= 10.0;
    }
    let mut y = TOP;
    for mut group in groups {
        root.draw(&Text::new(group.title, (12, y + 12), font(15)))?;
        y += HEAD;
        group.bars.sort_by(|one, other| one.1.total_cmp(&other.1));
        for (store, value, label) in group.bars {
            let colour = if store.starts_with("lembro") { OWN } else { PEER };
            root.draw(&Rectangle::new([(x(from), y), (x(value).max(LEFT + 1), y + ROW - 5)], colour.filled()))?;
            let middle = y + ROW / 2 - 2;
            let (right, left) = (Pos::new(HPos::Right, VPos::Center), Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new(store, (LEFT - 8, middle), font(13).pos(right)))?;
            root.draw(&Text::new(label, (x(value) + 6, middle), font(12).pos(left)))?;
            y += ROW;
        }
    }
    root.present()?;
    Ok(())
}

/// A line for each operation, by what grows; both axes logarithmic.
fn lines(rows: &[Row], file: &str, curve: &str, title: &str, x_title: &str, y_title: &str) -> Result {
    let mut series: Vec<Series> = Vec::new();
    for row in rows.iter().filter(|row| row.work == "curves") {
        let parts: Vec<_> = row.case.split(", ").collect();
        let [of, x, what] = parts[..] else { continue };
        if of != curve || row.unit == "ms" {
            continue;
        }
        let name = if row.store == "lembro" { what.to_owned() } else { format!("{what}, {}", row.store) };
        let point = (x.parse()?, row.value);
        match series.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push(point),
            None => series.push((name, vec![point])),
        }
    }
    chart(file, title, x_title, y_title, &series)
}

/// What share of real users' requests find their session, by how many real users there are.
fn survival(rows: &[Row]) -> Result {
    let path = folder().join("survival.svg");
    let rows: Vec<_> = rows.iter().filter(|row| row.work == "survival" && row.case.ends_with("hits")).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let root = SVGBackend::new(&path, (900, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled("Requests that find their session, 10 bots to each of them", font(19))?;
    let panels = root.split_evenly((1, 2));
    for (panel, (kind, title)) in panels.iter().zip([("bursts", "in bursts of four"), ("memoryless", "at any time")]) {
        let mut chart = ChartBuilder::on(panel)
            .caption(title, font(15))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(48)
            .build_cartesian_2d(0f64..125f64, 0f64..105f64)?;
        let mut series: Vec<Series> = Vec::new();
        for store in firsts(rows.iter().map(|row| row.store.as_str())) {
            let of = rows.iter().filter(|row| row.store == store && row.case.starts_with(kind));
            let mut points: Vec<(f64, f64)> = Vec::new();
            for row in of {
                let percent = row.case.split([' ', ',']).find_map(|word| word.parse().ok());
                points.push((percent.ok_or("a percentage")?, row.value));
            }
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            series.push((store.to_owned(), points));
        }
        draw!(chart, "real users, % of capacity", "found, %", series);
    }
    root.present()?;
    Ok(())
}

fn chart(file: &str, title: &str, x_title: &str, y_title: &str, series: &[Series]) -> Result {
    let points = || series.iter().flat_map(|(_, points)| points);
    if points().next().is_none() {
        return Ok(());
    }
    let range = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) = points().map(of).fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
        (low * 0.8, high * 1.25)
    };
    let ((left, right), (bottom, top)) = (range(|point| point.0), range(|point| point.1));
    // A quarter of the width more, for the legend.
    let right = right * (right / left).powf(0.3);
    let path = folder().join(file);
    let root = SVGBackend::new(&path, (900, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, font(19))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d((left..right).log_scale(), (bottom..top).log_scale())?;
    draw!(chart, x_title, y_title, series);
    root.present()?;
    Ok(())
}
