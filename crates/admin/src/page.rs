//! Writing families of series, so that the list of metrics reads as a list.

use std::fmt::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pgsplit_pool::Histogram;
use pgsplit_route::Latency;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// The page that is being written.
pub(crate) struct Page<'a>(pub(crate) DescriptorEncoder<'a>);

/// Name and explanation of a family. The name is without the prefix, the unit and `_total`.
#[derive(Clone, Copy)]
pub(crate) struct Family<'a> {
    name: &'a str,
    help: &'a str,
    unit: Option<&'a Unit>,
}

/// A family without a unit.
pub(crate) fn family<'a>(name: &'a str, help: &'a str) -> Family<'a> {
    Family { name, help, unit: None }
}

impl<'a> Family<'a> {
    pub(crate) fn seconds(self) -> Self {
        Self { unit: Some(&Unit::Seconds), ..self }
    }

    pub(crate) fn bytes(self) -> Self {
        Self { unit: Some(&Unit::Bytes), ..self }
    }
}

/// A counter's value.
pub(crate) fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Page<'_> {
    fn begin<'s>(&'s mut self, family: Family<'s>, kind: MetricType) -> Result<MetricEncoder<'s>, Error> {
        self.0.encode_descriptor(family.name, family.help, family.unit, kind)
    }

    /// `NAME_info{...} 1`.
    pub(crate) fn info(&mut self, family: Family<'_>, labels: &impl EncodeLabelSet) -> Result<(), Error> {
        self.begin(family, MetricType::Info)?.encode_info(labels)
    }

    pub(crate) fn counter(&mut self, family: Family<'_>, value: u64) -> Result<(), Error> {
        self.begin(family, MetricType::Counter)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(crate) fn counters<L: EncodeLabelSet>(
        &mut self,
        family: Family<'_>,
        series: impl IntoIterator<Item = (L, u64)>,
    ) -> Result<(), Error> {
        let mut metric = self.begin(family, MetricType::Counter)?;
        series.into_iter().try_for_each(|(labels, value)| {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }

    pub(crate) fn gauge(&mut self, family: Family<'_>, value: f64) -> Result<(), Error> {
        self.begin(family, MetricType::Gauge)?.encode_gauge(&value)
    }

    pub(crate) fn gauges<L: EncodeLabelSet>(
        &mut self,
        family: Family<'_>,
        series: impl IntoIterator<Item = (L, f64)>,
    ) -> Result<(), Error> {
        let mut metric = self.begin(family, MetricType::Gauge)?;
        series.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
    }

    pub(crate) fn histogram(&mut self, family: Family<'_>, histogram: &Histogram) -> Result<(), Error> {
        observations(&mut self.begin(family.seconds(), MetricType::Histogram)?, histogram)
    }

    /// Histograms of what is only known within a fifth.
    pub(crate) fn latencies<'h, L: EncodeLabelSet>(
        &mut self,
        family: Family<'_>,
        series: impl IntoIterator<Item = (L, &'h Latency<u64>)>,
    ) -> Result<(), Error> {
        let mut metric = self.begin(family.seconds(), MetricType::Histogram)?;
        series.into_iter().try_for_each(|(labels, times)| {
            let bound = |end: Option<Duration>| end.map_or(f64::INFINITY, |end| end.as_secs_f64());
            let buckets: Vec<(f64, u64)> = times.coarse().map(|(end, count)| (bound(end), count)).collect();
            let mut metric = metric.encode_family(&labels)?;
            metric.encode_histogram::<NoLabelSet>(times.sum().as_secs_f64(), times.count(), &buckets, None)
        })
    }

    pub(crate) fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        family: Family<'_>,
        series: impl IntoIterator<Item = (L, &'h Histogram)>,
    ) -> Result<(), Error> {
        let mut metric = self.begin(family.seconds(), MetricType::Histogram)?;
        series
            .into_iter()
            .try_for_each(|(labels, histogram)| observations(&mut metric.encode_family(&labels)?, histogram))
    }
}

/// The encoder adds the buckets up; the last one is what lies above all bounds.
fn observations(metric: &mut MetricEncoder<'_>, histogram: &Histogram) -> Result<(), Error> {
    let bounds = Histogram::BOUNDS.iter().map(|&micros| micros as f64 / 1e6).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts()).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    metric.encode_histogram::<NoLabelSet>(histogram.sum_micros() as f64 / 1e6, count, &buckets, None)
}
