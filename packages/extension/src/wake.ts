// Notices that this machine slept: a timer comes much too late. Browsers slow timers of hidden pages down, but not those of workers.

const tickMs = 5_000;
const lateMs = 10_000;

export function onWake(callback: () => void): void {
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - last > tickMs + lateMs) callback();
    last = now;
  }, tickMs);
}
