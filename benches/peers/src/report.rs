//! Tables and CSV.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::product::{Case, Kind};
use crate::timing::Seconds;

/// The column of a peer that packs `W` once, as ours does. No other does, so it is not among the plain calls.
const PACKED_PEER: &str = "MKL packed";

/// What came out for one case.
pub struct Line {
    case: Case,
    /// Name, variant and times of each contender; ours first.
    entries: Vec<((&'static str, &'static str), Seconds)>,
    /// Operations per second in registers.
    peak: f64,
    /// Bytes per second, reading as much memory as the matrices of the case take.
    bandwidth: f64,
}

/// How many times as long a peer takes as ours.
#[derive(Copy, Clone)]
struct Lead {
    best: f64,
    median: f64,
}

impl Line {
    /// `entries`: ours first.
    pub fn new(case: Case, entries: Vec<((&'static str, &'static str), Seconds)>, peak: f64, bandwidth: f64) -> Self {
        Self { case, entries, peak, bandwidth }
    }

    /// The name of a case in the tables.
    pub fn name_of(case: &Case) -> String {
        format!("{} {}x{} n {}", case.kind.name(), case.outputs, case.inputs, case.tokens)
    }

    /// One line, as soon as the case is measured.
    pub fn print_progress(&self) {
        let rounds = self.entries[0].1.0.len();
        println!("{:<24} {rounds:>5} rounds", Self::name_of(&self.case));
    }

    fn rate(&self, times: &Seconds) -> f64 {
        self.case.flops() / times.best()
    }

    fn roof(&self) -> f64 {
        self.peak.min(self.bandwidth * self.case.flops() / self.case.bytes() as f64)
    }

    fn ours(&self) -> &Seconds {
        &self.entries[0].1
    }

    fn variant(&self, variant: &str) -> Option<&Seconds> {
        self.entries.iter().find(|(name, _)| *name == ("ours", variant)).map(|(_, times)| times)
    }

    /// The peer's times, of the faster variant where it has several.
    fn peer(&self, peer: &str) -> Option<&Seconds> {
        let of_peer = self.entries.iter().filter(|((name, _), _)| *name == peer).map(|(_, times)| times);
        of_peer.min_by(|a, b| a.best().total_cmp(&b.best()))
    }

    fn lead(&self, peer: &'static str) -> Option<Lead> {
        let (ours, times) = (self.ours(), self.peer(peer)?);
        Some(Lead { best: times.best() / ours.best(), median: ours.median_lead(times) })
    }

    /// The lead over the peer that is the hardest to beat, by fastest rounds and by medians.
    fn least_lead(&self, peers: &[&'static str]) -> Option<Lead> {
        let leads = peers.iter().filter_map(|peer| self.lead(peer));
        leads.reduce(|a, b| Lead { best: a.best.min(b.best), median: a.median.min(b.median) })
    }
}

/// All cases of a run.
#[derive(Default)]
pub struct Report {
    /// In the order in which they were measured.
    pub lines: Vec<Line>,
}

impl Report {
    /// Names of the peers, in the order of the contenders.
    fn peers(&self) -> Vec<&'static str> {
        let mut names = vec![];
        for ((name, _), _) in self.lines.iter().flat_map(|line| &line.entries) {
            if *name != "ours" && !names.contains(name) {
                names.push(*name);
            }
        }
        names
    }

    fn plain_peers(&self) -> Vec<&'static str> {
        self.peers().into_iter().filter(|name| *name != PACKED_PEER).collect()
    }

    /// Prints rates, leads, means, and where somebody is faster.
    pub fn print(&self) {
        self.print_rates();
        self.print_leads();
        self.print_behind();
    }

    fn print_rates(&self) {
        let peers = self.peers();
        println!("\nGFLOP/s, fastest round. rows: W not packed. GB/s: reading as many bytes as the matrices have.");
        print!("{:<24} {:>7} {:>8} {:>7}", "out x in, tokens", "ours", "separate", "rows");
        peers.iter().for_each(|peer| print!(" {:>width$}", peer, width = peer.len().max(7)));
        println!(" {:>7} {:>7} {:>7} {:>7} {:>7}", "peak", "GB/s", "roof", "of roof", "of peak");
        for line in &self.lines {
            let rate = |times: Option<&Seconds>| times.map_or("-".into(), |t| format!("{:.1}", line.rate(t) * 1e-9));
            let rows = if line.case.kind == Kind::Up { Some(line.ours()) } else { line.variant("rows") };
            let (ours, separate) = (rate(Some(line.ours())), rate(line.variant("separate")));
            print!("{:<24} {ours:>7} {separate:>8} {:>7}", Line::name_of(&line.case), rate(rows));
            for peer in &peers {
                print!(" {:>width$}", rate(line.peer(peer)), width = peer.len().max(7));
            }
            let (roof, own) = (line.roof(), line.rate(line.ours()));
            println!(
                " {:>7.1} {:>7.1} {:>7.1} {:>6.1}% {:>6.1}%",
                line.peak * 1e-9,
                line.bandwidth * 1e-9,
                roof * 1e-9,
                100.0 * own / roof,
                100.0 * own / line.peak
            );
        }
    }

    fn print_leads(&self) {
        let (peers, plain) = (self.peers(), self.plain_peers());
        println!("\nTime of the peer / time of ours: fastest rounds, and the median over the rounds");
        print!("{:<24}", "out x in, tokens");
        peers.iter().for_each(|peer| print!(" {peer:>14}"));
        println!(" {:>14}", "best plain");
        let cell = |lead: Option<Lead>| lead.map_or("-".into(), |l| format!("{:.2} {:.2}", l.best, l.median));
        for line in &self.lines {
            print!("{:<24}", Line::name_of(&line.case));
            peers.iter().for_each(|peer| print!(" {:>14}", cell(line.lead(peer))));
            println!(" {:>14}", cell(line.least_lead(&plain)));
        }
        type Belongs = fn(&Line) -> bool;
        let means: [(&str, Belongs); 3] = [
            ("base", |line| line.case.kind == Kind::Base),
            ("thin", |line| line.case.kind != Kind::Base),
            ("all", |_| true),
        ];
        for (name, belongs) in means {
            let lines: Vec<_> = self.lines.iter().filter(|line| belongs(line)).collect();
            print!("{:<24}", format!("geometric mean, {name}"));
            for peer in &peers {
                print!(" {:>14}", cell(mean(lines.iter().filter_map(|line| line.lead(peer)))));
            }
            println!(" {:>14}", cell(mean(lines.iter().filter_map(|line| line.least_lead(&plain)))));
        }
    }

    fn print_behind(&self) {
        println!("\nWhere a peer is faster:");
        let mut none = true;
        for line in &self.lines {
            for peer in self.peers() {
                let lead = line.lead(peer).filter(|lead| lead.best < 1.0 || lead.median < 1.0);
                if let Some(Lead { best, median }) = lead {
                    none = false;
                    println!("  {:<24} {peer:<14} {best:.2} {median:.2}", Line::name_of(&line.case));
                }
            }
        }
        if none {
            println!("  nowhere");
        }
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn write_csv(&self, path: &Path) -> io::Result<()> {
        let mut text = String::from(
            "kind,outputs,inputs,tokens,contender,variant,best_gflops,median_gflops,lead_best,lead_median,\
             peak_gflops,read_gbytes,roof_gflops,flops_per_byte\n",
        );
        for line in &self.lines {
            let Case { kind, outputs, inputs, tokens } = line.case;
            for ((name, variant), times) in &line.entries {
                let flops = line.case.flops();
                let ours = line.ours();
                _ = writeln!(
                    text,
                    "{},{outputs},{inputs},{tokens},{name},{variant},{:.3},{:.3},{:.4},{:.4},{:.2},{:.2},{:.2},{:.4}",
                    kind.name(),
                    flops / times.best() * 1e-9,
                    flops / times.median() * 1e-9,
                    times.best() / ours.best(),
                    ours.median_lead(times),
                    line.peak * 1e-9,
                    line.bandwidth * 1e-9,
                    line.roof() * 1e-9,
                    flops / line.case.bytes() as f64,
                );
            }
        }
        fs::write(path, text)
    }
}

fn mean(leads: impl Iterator<Item = Lead>) -> Option<Lead> {
    let leads: Vec<_> = leads.collect();
    let mean = |of: fn(&Lead) -> f64| (leads.iter().map(|lead| of(lead).ln()).sum::<f64>() / leads.len() as f64).exp();
    (!leads.is_empty()).then(|| Lead { best: mean(|lead| lead.best), median: mean(|lead| lead.median) })
}
