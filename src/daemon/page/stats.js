// The numbers of the service as the page shows them.

/** A counter of a sample, wherever it is; 0 where there is none. */
export function counter(stats, name) {
  const value = stats?.funnel?.[name];
  return typeof value === "number" ? value : 0;
}

/** A counter's change per second between samples that are some seconds apart: `[ms, rate]`. */
export function rates(samples, name, apart = 5_000) {
  const points = [];
  let first = 0;
  for (const [index, { at, stats }] of samples.entries()) {
    while (first < index - 1 && at - samples[first + 1].at >= apart) first += 1;
    const from = samples[first];
    if (from.at >= at) continue;
    const change = counter(stats, name) - counter(from.stats, name);
    // The service was started again: its counters begin at 0.
    points.push([at, Math.max(0, (change * 1000) / (at - from.at))]);
  }
  return points;
}
