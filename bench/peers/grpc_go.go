// A bare grpc-go server with mutual TLS, which answers NodeService.Status with fixed bytes.
// Arguments: a folder with cert.pem, key.pem, ca.pem and reply.bin, and a port.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
)

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

func main() {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(os.Args[1], name))
		check(err)
		return data
	}
	encoding.RegisterCodec(unchanged{})
	own, err := tls.X509KeyPair(read("cert.pem"), read("key.pem"))
	check(err)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(read("ca.pem"))
	config := tls.Config{
		Certificates: []tls.Certificate{own}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13,
	}
	reply := read("reply.bin")
	status := func(_ interface{}, _ context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
		request := []byte{}
		return &reply, decode(&request)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&config)))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "palyra.node.v1.NodeService", HandlerType: (*interface{})(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Status", Handler: status}},
	}, struct{}{})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	check(err)
	check(server.Serve(listener))
}
