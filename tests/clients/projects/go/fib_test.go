package clients

import "testing"

func TestFib(t *testing.T) {
	if Fib(10) != 55 {
		t.Fail()
	}
}

func BenchmarkFib(b *testing.B) {
	measured(b, "fib_test.go::BenchmarkFib", func() { Fib(10) })
}

func BenchmarkSizes(b *testing.B) {
	b.Run("größe=15", func(b *testing.B) {
		measured(b, "fib_test.go::BenchmarkSizes::größe=15", func() { Fib(15) })
	})
}
