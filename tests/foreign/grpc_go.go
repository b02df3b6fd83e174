// A gRPC client with the defaults of grpc-go, which shares no code with the daemon. Debian: golang-go and
// golang-google-grpc-dev, built by testing/grpc-go.ts.
//
// stdin: a line {"address", "name", "roots", "certificate", "key", "method", "kind", ...}; stdout: one line of JSON.
//
//	"load": calls the method with an empty message on one connection, for "seconds" with as many "workers".
//	        {"calls", "failed", "failures": {"CODE: MESSAGE": how many}}
//	"wave": begins "calls" calls of the stream "cancelled", which the server holds open; cancels them and begins as many calls of
//	        the method at once. {"calls", "failed", "failures"}: of the latter
//	"stream": one stream with a deadline of "milliseconds", after the messages of "send" (hex). Does not end its side.
//	        {"code", "message", "replies", "elapsed", "connection"}; milliseconds, and what ended the last connection
//
// Without "certificate" it shows none. "insists": true shows it to servers that did not name its issuer, too.
// "gzip": true compresses what is sent.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
)

type setup struct {
	Address, Name, Roots, Certificate, Key, Method, Kind string

	Seconds, Workers int
	Gzip, Insists    bool

	Calls     int
	Cancelled string

	Milliseconds int
	Send         []string
}

// Messages are bytes, whatever is in them.
type unchanged struct{}

func (unchanged) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (unchanged) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = data
	return nil
}
func (unchanged) Name() string { return "proto" }

// TLS that keeps what reading from its last connection ended in, which this gRPC does not tell.
type noted struct {
	credentials.TransportCredentials
}

var ending struct {
	sync.Mutex
	text string
}

type notedConn struct{ net.Conn }

func (n noted) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := n.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return notedConn{conn}, info, nil
}

func (c notedConn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if err != nil {
		ending.Lock()
		ending.text = err.Error()
		ending.Unlock()
	}
	return n, err
}

func (n noted) Clone() credentials.TransportCredentials { return noted{n.TransportCredentials.Clone()} }

var bidi = grpc.StreamDesc{StreamName: "any", ServerStreams: true, ClientStreams: true}

type outcomes struct {
	sync.Mutex
	Calls    int            `json:"calls"`
	Failed   int            `json:"failed"`
	Failures map[string]int `json:"failures"`
}

func (o *outcomes) add(err error) {
	o.Lock()
	defer o.Unlock()
	o.Calls++
	if err == nil {
		return
	}
	o.Failed++
	o.Failures[fmt.Sprintf("%s: %s", status.Code(err), status.Convert(err).Message())]++
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func call(connection *grpc.ClientConn, s setup) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, reply := []byte{}, []byte{}
	return connection.Invoke(ctx, s.Method, &request, &reply)
}

func load(connection *grpc.ClientConn, s setup) interface{} {
	all := outcomes{Failures: map[string]int{}}
	end := time.Now().Add(time.Duration(s.Seconds) * time.Second)
	var workers sync.WaitGroup
	for n := 0; n < s.Workers; n++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for time.Now().Before(end) {
				all.add(call(connection, s))
			}
		}()
	}
	workers.Wait()
	return &all
}

func openStream(connection *grpc.ClientConn, ctx context.Context, method string, messages []string) (grpc.ClientStream, error) {
	stream, err := connection.NewStream(ctx, &bidi, method)
	if err != nil {
		return nil, err
	}
	for _, each := range messages {
		message, err := hex.DecodeString(each)
		check(err)
		// An error of the server's is what RecvMsg says.
		if err := stream.SendMsg(&message); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return stream, nil
}

func wave(connection *grpc.ClientConn, s setup) interface{} {
	all := outcomes{Failures: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for n := 0; n < s.Calls; n++ {
		_, err := openStream(connection, ctx, s.Cancelled, nil)
		check(err)
	}
	// When this is answered, the server has seen those before it.
	check(call(connection, s))
	cancel()
	var called sync.WaitGroup
	for n := 0; n < s.Calls; n++ {
		called.Add(1)
		go func() {
			defer called.Done()
			all.add(call(connection, s))
		}()
	}
	called.Wait()
	return &all
}

func stream(connection *grpc.ClientConn, s setup) interface{} {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.Milliseconds)*time.Millisecond)
	defer cancel()
	open, err := openStream(connection, ctx, s.Method, s.Send)
	replies := []string{}
	for err == nil {
		reply := []byte{}
		if err = open.RecvMsg(&reply); err == nil {
			replies = append(replies, hex.EncodeToString(reply))
		}
	}
	code, message := "OK", ""
	if err != io.EOF {
		code, message = status.Code(err).String(), status.Convert(err).Message()
	}
	ending.Lock()
	defer ending.Unlock()
	return map[string]interface{}{
		"code": code, "message": message, "replies": replies, "elapsed": time.Since(began).Milliseconds(), "connection": ending.text,
	}
}

func main() {
	var s setup
	check(json.NewDecoder(bufio.NewReader(os.Stdin)).Decode(&s))
	encoding.RegisterCodec(unchanged{})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.Roots))
	config := tls.Config{RootCAs: roots, ServerName: s.Name}
	if s.Certificate != "" {
		own, err := tls.X509KeyPair([]byte(s.Certificate), []byte(s.Key))
		check(err)
		config.Certificates = []tls.Certificate{own}
		if s.Insists {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		}
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(noted{credentials.NewTLS(&config)})}
	if s.Gzip {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	connection, err := grpc.Dial(s.Address, options...)
	check(err)
	defer connection.Close()
	kinds := map[string]func(*grpc.ClientConn, setup) interface{}{"load": load, "wave": wave, "stream": stream}
	check(json.NewEncoder(os.Stdout).Encode(kinds[s.Kind](connection, s)))
}
