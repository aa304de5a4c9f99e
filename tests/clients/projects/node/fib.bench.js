import { bench, describe } from "vitest";

const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));

describe("fibs", () => {
  bench("fib10", () => { fib(10); }, { time: 20, warmupTime: 5 });
  bench("größe [n=15]", () => { fib(15); }, { time: 20, warmupTime: 5 });
});
