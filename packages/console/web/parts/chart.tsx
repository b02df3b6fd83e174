// A small chart of a number over time. The text beside it gives the value.

interface ChartProps {
  readonly values: readonly number[];
  readonly atMs: readonly bigint[];
}

const width = 240;
const height = 48;

export function Chart({ values, atMs }: ChartProps) {
  if (values.length < 2) return <p class="faint chart-wait">The line starts with the next sample.</p>;
  const from = Number(atMs[0]);
  const until = Number(atMs.at(-1));
  const top = Math.max(...values, 1);
  const points = values.map((value, place) => {
    const x = ((Number(atMs[place]) - from) / (until - from || 1)) * width;
    return `${x.toFixed(1)},${(height - 2 - (value / top) * (height - 6)).toFixed(1)}`;
  });
  return (
    <svg class="chart" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      <polygon points={`0,${height} ${points.join(' ')} ${width},${height}`} />
      <polyline points={points.join(' ')} />
    </svg>
  );
}
