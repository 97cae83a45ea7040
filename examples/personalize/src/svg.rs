//! The loss curve as an SVG picture that follows the reader's choice of a light or a dark page.

use std::fmt::Write;

use crate::adapt::Outcome;
use crate::curve::{SMALLEST, means, range};
use crate::options::optimizer_name;

const WIDTH: f32 = 760.0;
const HEIGHT: f32 = 420.0;
const LEFT: f32 = 72.0;
const RIGHT: f32 = 736.0;
const TOP: f32 = 72.0;
const BOTTOM: f32 = 364.0;

const STYLE: &str = "
  svg { background: #ffffff; color: #1f2328; font: 13px system-ui, sans-serif }
  text { fill: currentColor } .title { font-size: 17px; font-weight: 600 } .quiet { opacity: .65 }
  path { fill: none; stroke-linejoin: round } .grid { stroke: currentColor; opacity: .15 } .axis { stroke: currentColor }
  .steps { stroke: #2f7ed8; opacity: .4 } .mean { stroke: #2f7ed8; stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) { svg { background: #0d1117; color: #e6edf3 } .steps, .mean { stroke: #6cb2ff } }
";

pub(crate) fn draw(outcome: &Outcome) -> String {
    let losses: Vec<f32> = outcome.losses.iter().map(|loss| loss.max(SMALLEST)).collect();
    let (epochs, steps) = (outcome.config.epochs, losses.len() as f32);
    let (low, high) = range(&losses);
    let (low, high) = (low / 1.2, high * 1.2);
    let x = |step: f32| LEFT + step / steps * (RIGHT - LEFT);
    let y = |loss: f32| TOP + (high / loss).ln() / (high / low).ln() * (BOTTOM - TOP);

    let mut body = String::new();
    for loss in ticks(low, high) {
        let height = y(loss);
        let _ = writeln!(body, r#"<path class="grid" d="M{LEFT} {height:.1}H{RIGHT}"/>"#);
        let _ = writeln!(body, r#"<text x="{}" y="{:.1}" text-anchor="end">{loss}</text>"#, LEFT - 8.0, height + 4.5);
    }
    for epoch in (0..=epochs).step_by(epochs.div_ceil(12).max(1) as usize) {
        let place = x(epoch as f32 / epochs as f32 * steps);
        let _ = writeln!(body, r#"<path class="axis" d="M{place:.1} {BOTTOM}v5"/>"#);
        let _ = writeln!(body, r#"<text x="{place:.1}" y="{}" text-anchor="middle">{epoch}</text>"#, BOTTOM + 20.0);
    }
    let _ = writeln!(body, r#"<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>"#);
    // A step stands for the interval in which it was made.
    let path = |values: &[f32]| {
        let width = steps / values.len() as f32;
        let points = values.iter().enumerate().map(|(i, &loss)| (x((i as f32 + 0.5) * width), y(loss)));
        points.map(|(x, y)| format!("{x:.1} {y:.1}")).collect::<Vec<_>>().join("L")
    };
    let _ = writeln!(body, r#"<path class="steps" d="M{}"/>"#, path(&losses));
    let _ = writeln!(body, r#"<path class="mean" d="M{}"/>"#, path(&means(&losses, losses.len().min(200))));
    frame(&subtitle(outcome), &body)
}

/// Title and names of the axes around the picture.
fn frame(subtitle: &str, body: &str) -> String {
    let (middle, below) = ((LEFT + RIGHT) / 2.0, BOTTOM + 44.0);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
<style>{STYLE}</style>
<text class="title" x="{LEFT}" y="28">Adapting to rotated digits: the loss</text>
<text class="quiet" x="{LEFT}" y="49">{subtitle}</text>
{body}<text x="{middle}" y="{below}" text-anchor="middle">epoch</text>
<text transform="translate(16 {}) rotate(-90)" text-anchor="middle">cross-entropy, logarithmic</text>
</svg>
"#,
        (TOP + BOTTOM) / 2.0
    )
}

fn subtitle(outcome: &Outcome) -> String {
    let (config, rotated) = (&outcome.config, &outcome.rotated);
    format!(
        "{}, rank {}, seed {}; every step, and a mean over 5 % of them. Test accuracy {:.1} % → {:.1} %",
        optimizer_name(config.optimizer),
        config.rank,
        config.seed,
        100.0 * rotated.before.accuracy(),
        100.0 * rotated.after.accuracy()
    )
}

/// 1, 2 and 5 times the powers of ten between two numbers; of a long range only the powers.
fn ticks(low: f32, high: f32) -> impl Iterator<Item = f32> {
    let digits: &[u8] = if high / low > 1e4 { &[1] } else { &[1, 2, 5] };
    let decimal = |digit, power: i32| format!("{digit}e{power}").parse::<f32>().ok();
    let all = (-7..8).flat_map(move |power| digits.iter().filter_map(move |digit| decimal(digit, power)));
    all.filter(move |tick| (low..high).contains(tick))
}
