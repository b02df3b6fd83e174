// The one client of every comparison: gRPC calls and new connections with grpc-go and Go's TLS, which share no code with
// any daemon of ours. Debian: golang-go and golang-google-grpc-dev.
//
// Reads requests from stdin and answers each on stdout, one line of JSON each:
//
//	{"kind", "target": {"address", "name", "roots", "credentials": [{"chain", "key"}], "speaks"}, ...}
//
//	"reply":   one call. {"reply": base64}
//	"calls":   "workers" calls at a time for "milliseconds". {"calls", "elapsedMs", "p50Ms", "p99Ms"}
//	"load":    "perSecond" calls, each due at its time, for "milliseconds". Latencies count from the time at which a call was due.
//	           {"calls", "elapsedMs", "p50Ms", "p99Ms"}
//	"connect": "count" connections, "workers" at a time, each closed after the server's first bytes. {"elapsedMs"}
//	"hold":    opens connections until "count" are open to this address, or closes all with 0. {}
//
// "speaks" is what a new connection says and hears: "h2" (preface and SETTINGS) or "line" (one line of text).
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
)

type credential struct{ Chain, Key string }

type target struct {
	Address, Name, Roots, Method, Speaks string

	Credentials []credential
}

type request struct {
	Kind   string
	Target target

	Workers, Milliseconds, Count int
	PerSecond                    float64
}

// Messages are bytes, whatever is in them.
type unchanged struct{}

func (unchanged) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (unchanged) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = data
	return nil
}
func (unchanged) Name() string { return "proto" }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (t target) tls(number int) *tls.Config {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(t.Roots)) {
		check(fmt.Errorf("no roots"))
	}
	chosen := t.Credentials[number%len(t.Credentials)]
	own, err := tls.X509KeyPair([]byte(chosen.Chain), []byte(chosen.Key))
	check(err)
	return &tls.Config{
		RootCAs: roots, ServerName: t.Name, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13,
	}
}

var dialled = map[string]*grpc.ClientConn{}

// The one connection of the calls to a server, opened by the first of them.
func connectionTo(t target) *grpc.ClientConn {
	if known, ok := dialled[t.Address]; ok {
		return known
	}
	connection, err := grpc.Dial(t.Address, grpc.WithTransportCredentials(credentials.NewTLS(t.tls(0))))
	check(err)
	dialled[t.Address] = connection
	return connection
}

func call(connection *grpc.ClientConn, method string) []byte {
	reply, err := tryCall(connection, method)
	check(err)
	return reply
}

func tryCall(connection *grpc.ClientConn, method string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	request, reply := []byte{}, []byte{}
	return reply, connection.Invoke(ctx, method, &request, &reply)
}

func measured(latencies []time.Duration, elapsed time.Duration) interface{} {
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	at := func(share float64) float64 {
		return float64(latencies[int(share*float64(len(latencies)-1))]) / float64(time.Millisecond)
	}
	return map[string]interface{}{
		"calls": len(latencies), "elapsedMs": milliseconds(elapsed), "p50Ms": at(0.5), "p99Ms": at(0.99),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func calls(r request) interface{} {
	connection := connectionTo(r.Target)
	began := time.Now()
	end := began.Add(time.Duration(r.Milliseconds) * time.Millisecond)
	each := make([][]time.Duration, r.Workers)
	var workers sync.WaitGroup
	for n := range each {
		workers.Add(1)
		go func(n int) {
			defer workers.Done()
			for time.Now().Before(end) {
				started := time.Now()
				call(connection, r.Target.Method)
				each[n] = append(each[n], time.Since(started))
			}
		}(n)
	}
	workers.Wait()
	elapsed := time.Since(began)
	all := []time.Duration{}
	for _, some := range each {
		all = append(all, some...)
	}
	return measured(all, elapsed)
}

func load(r request) interface{} {
	connection := connectionTo(r.Target)
	count := int(r.PerSecond * float64(r.Milliseconds) / 1000)
	latencies := make([]time.Duration, count)
	var answered sync.WaitGroup
	answered.Add(count)
	began := time.Now()
	for n := 0; n < count; n++ {
		due := began.Add(time.Duration(float64(n) / r.PerSecond * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		go func(n int) {
			defer answered.Done()
			// A server with too many calls may refuse some. They count with the client's limit.
			if _, err := tryCall(connection, r.Target.Method); err != nil {
				latencies[n] = 60 * time.Second
				return
			}
			latencies[n] = time.Since(due)
		}(n)
	}
	answered.Wait()
	return measured(latencies, time.Since(began))
}

var words = map[string]string{
	"h2":   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
	"line": "x\n",
}

// A connection whose server has verified this side's certificate: with TLS 1.3, its first bytes tell.
func open(config *tls.Config, t target) *tls.Conn {
	connection, err := tls.Dial("tcp", t.Address, config)
	check(err)
	check(connection.SetReadDeadline(time.Now().Add(60 * time.Second)))
	_, err = io.WriteString(connection, words[t.Speaks])
	check(err)
	_, err = connection.Read(make([]byte, 1024))
	check(err)
	return connection
}

// Runs numbers 0 to count - 1, some at a time.
func inLanes(lanes, count int, run func(number int)) {
	var next int64 = -1
	var workers sync.WaitGroup
	for n := 0; n < lanes; n++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for number := int(atomic.AddInt64(&next, 1)); number < count; number = int(atomic.AddInt64(&next, 1)) {
				run(number)
			}
		}()
	}
	workers.Wait()
}

func configs(t target) []*tls.Config {
	all := []*tls.Config{}
	for n := range t.Credentials {
		config := t.tls(n)
		if t.Speaks == "h2" {
			config.NextProtos = []string{"h2"}
		}
		all = append(all, config)
	}
	return all
}

func connect(r request) interface{} {
	known := configs(r.Target)
	began := time.Now()
	inLanes(r.Workers, r.Count, func(number int) { check(open(known[number%len(known)], r.Target).Close()) })
	return map[string]float64{"elapsedMs": milliseconds(time.Since(began))}
}

var held = map[string][]*tls.Conn{}

func hold(r request) interface{} {
	have := held[r.Target.Address]
	if r.Count == 0 {
		for _, each := range have {
			each.Close()
		}
		delete(held, r.Target.Address)
		return map[string]float64{}
	}
	known := configs(r.Target)
	opened := make([]*tls.Conn, r.Count-len(have))
	inLanes(r.Workers, len(opened), func(number int) {
		opened[number] = open(known[(len(have)+number)%len(known)], r.Target)
	})
	held[r.Target.Address] = append(have, opened...)
	return map[string]float64{}
}

func reply(r request) interface{} {
	return map[string]string{"reply": base64.StdEncoding.EncodeToString(call(connectionTo(r.Target), r.Target.Method))}
}

func main() {
	encoding.RegisterCodec(unchanged{})
	kinds := map[string]func(request) interface{}{
		"reply": reply, "calls": calls, "load": load, "connect": connect, "hold": hold,
	}
	requests := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var r request
		if err := requests.Decode(&r); err == io.EOF {
			return
		} else {
			check(err)
		}
		check(json.NewEncoder(os.Stdout).Encode(kinds[r.Kind](r)))
	}
}
