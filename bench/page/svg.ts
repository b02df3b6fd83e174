// A plot as SVG: text that can be selected, axes with units, light and dark as the reader's system is.

import type { Axis, Plot } from '../measure.ts';

const width = 720;
const height = 400;
const area = { left: 80, right: width - 24, top: 84, bottom: height - 56 };

/** Also told apart by dashes and markers. The colours of Okabe and Ito, darker on white. */
const colours = [
  ['#0072b2', '#56b4e9'],
  ['#b34a00', '#e69f00'],
  ['#00734f', '#2fc79b'],
  ['#9c3f7c', '#e39bc6'],
  ['#6b6200', '#f0e442'],
  ['#57606a', '#a9b1ba'],
] as const;
const dashes = ['', '7 3', '2 3', '9 3 2 3', '12 4', '4 4'];

const style = `
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.back { fill: #ffffff; } .grid { stroke: #d1d9e0; } .axis { stroke: #59636e; }
${colours.map(([light], at) => `.c${at} { stroke: ${light}; } .f${at} { fill: ${light}; }`).join('\n')}
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .back { fill: #0d1117; } .grid { stroke: #3d444d; } .axis { stroke: #9198a1; }
  ${colours.map(([, dark], at) => `.c${at} { stroke: ${dark}; } .f${at} { fill: ${dark}; }`).join('\n  ')}
}`;

export function svg(plot: Plot): string {
  const described = plot.kind === 'bars' ? barsOf(plot) : linesOf(plot);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title">`,
    `<title id="title">${escaped(plot.title)}</title>`,
    `<style>${style}\n</style>`,
    `<rect class="back" width="${width}" height="${height}"/>`,
    text(area.left, 28, plot.title, 'start', 'title'),
    ...described,
    '</svg>\n',
  ].join('\n');
}

function barsOf({ unit, bars }: Plot & { kind: 'bars' }): string[] {
  const y = scale({ label: unit }, [0, ...bars.map(([, value]) => value)], area.bottom, area.top);
  const step = (area.right - area.left) / bars.length;
  return [
    ...verticalAxis(y, unit),
    ...bars.flatMap(([name, value], at) => {
      const middle = area.left + step * (at + 0.5);
      const top = y.at(value);
      const size = `width="${round(step * 0.6)}" height="${round(area.bottom - top)}"`;
      return [
        `<rect class="f${at % colours.length}" x="${round(middle - step * 0.3)}" y="${round(top)}" ${size}/>`,
        text(middle, top - 6, number(value), 'middle'),
        text(middle, area.bottom + 20, name, 'middle'),
      ];
    }),
    baseline(),
  ];
}

function linesOf({ x, y, lines }: Plot & { kind: 'lines' }): string[] {
  const points = lines.flatMap(([, some]) => some);
  const across = scale(
    x,
    points.map(([value]) => value),
    area.left,
    area.right,
  );
  const up = scale(
    y,
    [...(y.isLogarithmic ? [] : [0]), ...points.map(([, value]) => value)],
    area.bottom,
    area.top,
  );
  let legend = area.left;
  return [
    ...verticalAxis(up, y.label),
    ...across.ticks.map((tick) => text(across.at(tick), area.bottom + 20, number(tick), 'middle')),
    text((area.left + area.right) / 2, height - 12, x.label, 'middle'),
    baseline(),
    ...lines.flatMap(([name, some], at) => {
      const place = some.map(([valueX, valueY]) => [round(across.at(valueX)), round(up.at(valueY))] as const);
      const key = legend;
      legend += 56 + name.length * 8;
      const colour = at % colours.length;
      const stroke = `class="c${colour}" fill="none" stroke-width="2" stroke-dasharray="${dashes[colour]}"`;
      return [
        `<path ${stroke} d="M${place.map((each) => each.join(' ')).join('L')}"/>`,
        ...place.map(([cx, cy]) => `<circle class="f${colour}" cx="${cx}" cy="${cy}" r="3"/>`),
        `<path ${stroke} d="M${key} 58h28"/>`,
        text(key + 34, 62, name, 'start'),
      ];
    }),
  ];
}

interface Scale {
  readonly ticks: readonly number[];
  at(value: number): number;
}

function scale({ isLogarithmic }: Axis, values: readonly number[], from: number, to: number): Scale {
  if (isLogarithmic) {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const nice = Array.from({ length: 60 }, (_, at) => [1, 2, 5][at % 3]! * 10 ** (Math.floor(at / 3) - 9));
    const [first, last] = [nice.findLast((each) => each <= least)!, nice.find((each) => each >= most)!];
    const within = nice.filter((each) => each >= first && each <= last);
    return {
      ticks: within.length <= 8 ? within : within.filter((each) => Number.isInteger(Math.log10(each))),
      at: (value) => from + (Math.log(value / first) / Math.log(last / first)) * (to - from),
    };
  }
  const step = niceStep(Math.max(...values) / 6);
  const count = Math.ceil(Math.max(...values) / step);
  return {
    ticks: Array.from({ length: count + 1 }, (_, index) => index * step),
    at: (value) => from + (value / (count * step)) * (to - from),
  };
}

/** 1, 2 or 5 times a power of ten, and at least this. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].find((each) => each * power >= least)! * power;
}

function verticalAxis(y: Scale, label: string): string[] {
  const middle = (area.top + area.bottom) / 2;
  return [
    ...y.ticks.flatMap((tick) => {
      const at = round(y.at(tick));
      return [
        `<path class="grid" d="M${area.left} ${at}H${area.right}"/>`,
        text(area.left - 8, at + 4, number(tick), 'end'),
      ];
    }),
    `<text x="0" y="0" text-anchor="middle" transform="translate(18 ${middle}) rotate(-90)">${escaped(label)}</text>`,
  ];
}

const baseline = () => `<path class="axis" d="M${area.left} ${area.bottom}H${area.right}"/>`;

function text(x: number, y: number, content: string, anchor: string, name?: string): string {
  const place = `x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"`;
  return `<text ${place}${name ? ` class="${name}"` : ''}>${escaped(content)}</text>`;
}

const number = (value: number) => new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format(value);
const round = (value: number) => Math.round(value * 10) / 10;
const escaped = (content: string) =>
  content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
