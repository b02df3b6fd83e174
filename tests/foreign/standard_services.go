// What grpc_health_probe, a load-balancing client and grpcurl do, with grpc-go as Debian has it.
//
// stdin: {"do", "address", "name", "roots", "certificate", "key", "service", "symbol"}. stdout: one JSON value a line.
//
//	check    {"status"}
//	watch    {"status"} for each message, then {"end"}
//	balance  {"state"} for each state of a channel that goes by the health of "service"
//	describe {"services"}, then {"answer"}: what the method "symbol" of "service" says, called by the protos that came
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/health"
	health "google.golang.org/grpc/health/grpc_health_v1"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

type setup struct{ Do, Address, Name, Roots, Certificate, Key, Service, Symbol string }

type line map[string]interface{}

func say(what line) {
	if err := json.NewEncoder(os.Stdout).Encode(what); err != nil {
		panic(err)
	}
}

func must(err error) {
	if err != nil {
		say(line{"end": status.Code(err).String(), "message": err.Error()})
		os.Exit(0)
	}
}

func dial(ctx context.Context, with setup) *grpc.ClientConn {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(with.Roots))
	certificate, err := tls.X509KeyPair([]byte(with.Certificate), []byte(with.Key))
	must(err)
	config := &tls.Config{ServerName: with.Name, RootCAs: roots, Certificates: []tls.Certificate{certificate}}
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}
	if with.Do == "balance" {
		options = append(options, grpc.WithDefaultServiceConfig(
			`{"loadBalancingConfig":[{"round_robin":{}}],"healthCheckConfig":{"serviceName":"`+with.Service+`"}}`))
	}
	conn, err := grpc.DialContext(ctx, with.Address, options...)
	must(err)
	return conn
}

func main() {
	var with setup
	must(json.NewDecoder(os.Stdin).Decode(&with))
	ctx := context.Background()
	conn := dial(ctx, with)
	switch with.Do {
	case "check":
		answer, err := health.NewHealthClient(conn).Check(ctx, &health.HealthCheckRequest{Service: with.Service})
		must(err)
		say(line{"status": answer.Status.String()})
	case "watch":
		stream, err := health.NewHealthClient(conn).Watch(ctx, &health.HealthCheckRequest{Service: with.Service})
		must(err)
		for {
			answer, err := stream.Recv()
			must(err)
			say(line{"status": answer.Status.String()})
		}
	case "balance":
		for {
			state := conn.GetState()
			say(line{"state": state.String()})
			conn.WaitForStateChange(ctx, state)
		}
	case "describe":
		describe(ctx, conn, with)
	}
}

// Debian's grpc-go is of an older protobuf than what reads the protos.
type unchanged struct{}

func (unchanged) Name() string                             { return "proto" }
func (unchanged) Marshal(from interface{}) ([]byte, error) { return from.([]byte), nil }
func (unchanged) Unmarshal(bytes []byte, to interface{}) error {
	*to.(*[]byte) = append([]byte{}, bytes...)
	return nil
}

func describe(ctx context.Context, conn *grpc.ClientConn, with setup) {
	stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	must(err)
	ask := func(request *reflection.ServerReflectionRequest) *reflection.ServerReflectionResponse {
		must(stream.Send(request))
		answer, err := stream.Recv()
		must(err)
		return answer
	}
	services := []string{}
	files := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	listed := ask(&reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_ListServices{},
	}).GetListServicesResponse()
	for _, service := range listed.GetService() {
		services = append(services, service.Name)
		found := ask(&reflection.ServerReflectionRequest{
			MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service.Name},
		}).GetFileDescriptorResponse()
		for _, bytes := range found.GetFileDescriptorProto() {
			file := &descriptorpb.FileDescriptorProto{}
			must(proto.Unmarshal(bytes, file))
			if !seen[file.GetName()] {
				seen[file.GetName()] = true
				files.File = append(files.File, file)
			}
		}
	}
	say(line{"services": services})
	// Which checks every name and number.
	linked, err := protodesc.NewFiles(files)
	must(err)
	service, err := linked.FindDescriptorByName(protoreflect.FullName(with.Service))
	must(err)
	method := service.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(with.Symbol))
	var bytes []byte
	must(conn.Invoke(ctx, "/"+with.Service+"/"+with.Symbol, []byte{}, &bytes, grpc.ForceCodec(unchanged{})))
	reply := dynamicpb.NewMessage(method.Output())
	must(proto.Unmarshal(bytes, reply))
	text, err := protojson.Marshal(reply)
	must(err)
	say(line{"answer": json.RawMessage(text)})
}
