// Package clients is something to measure.
package clients

// Fib returns the n-th Fibonacci number, slowly.
func Fib(n int) int {
	if n < 2 {
		return n
	}
	return Fib(n-1) + Fib(n-2)
}
