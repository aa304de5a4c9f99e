import { withCodSpeed } from "@codspeed/tinybench-plugin";
import { Bench } from "tinybench";

const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));

const bench = withCodSpeed(new Bench({ name: "suite", time: 20, warmupTime: 5 }));
bench.add("fib10", () => fib(10)).add("größe [n=15]", () => fib(15));
await bench.run();
