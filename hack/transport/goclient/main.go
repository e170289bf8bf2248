// Calls a gRPC server as Go programs do: goclient ADDRESS [refuses-compressed]. It serves /test.Echo/Stream and gRPC health.
// Prints a line for each check that held, and ends with 1 at the first that did not.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (raw) Name() string                       { return "raw" }

var description = &grpc.StreamDesc{StreamName: "Stream", ServerStreams: true, ClientStreams: true}

func echo(ctx context.Context, on *grpc.ClientConn, sizes []int, more ...grpc.CallOption) error {
	stream, err := on.NewStream(ctx, description, "/test.Echo/Stream", more...)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		sent, got := bytes.Repeat([]byte("x"), size), []byte(nil)
		if err := stream.SendMsg(&sent); err != nil && err != io.EOF {
			return err
		}
		if err := stream.RecvMsg(&got); err != nil {
			return err
		}
		if !bytes.Equal(sent, got) {
			return fmt.Errorf("%d bytes came back as %d", size, len(got))
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var got []byte
	if err := stream.RecvMsg(&got); err != io.EOF {
		return fmt.Errorf("instead of the end: %v", err)
	}
	return nil
}

func wants(code codes.Code, err error) error {
	if status.Code(err) != code {
		return fmt.Errorf("wanted %v, got %v", code, err)
	}
	return nil
}

func together(count int, do func() error) error {
	var all sync.WaitGroup
	failed := make(chan error, count)
	for range count {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := do(); err != nil {
				failed <- err
			}
		}()
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func main() {
	encoding.RegisterCodec(raw{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)),
	}
	on, err := grpc.NewClient("passthrough:///"+os.Args[1], options...)
	if err != nil {
		panic(err)
	}
	bytesOf := grpc.ForceCodec(raw{})
	health := grpc_health_v1.NewHealthClient(on)
	checks := []struct {
		name string
		do   func() error
	}{
		{"a unary call", func() error {
			answer, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			if err == nil && answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
				err = fmt.Errorf("health is %v", answer.Status)
			}
			return err
		}},
		{"a service that is not there", func() error {
			_, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "other"})
			return wants(codes.NotFound, err)
		}},
		{"a stream of the server", func() error {
			short, end := context.WithCancel(ctx)
			defer end()
			watch, err := health.Watch(short, &grpc_health_v1.HealthCheckRequest{})
			if err == nil {
				_, err = watch.Recv()
			}
			return err
		}},
		{"messages both ways, small and large", func() error {
			return echo(ctx, on, []int{0, 1, 16379, 16380, 65536, 1 << 20, 20 << 20}, bytesOf)
		}},
		{"two hundred streams together", func() error {
			return together(200, func() error { return echo(ctx, on, []int{1, 2000, 70000}, bytesOf) })
		}},
		{"a deadline", func() error {
			short, end := context.WithTimeout(ctx, 100*time.Millisecond)
			defer end()
			stream, err := on.NewStream(short, description, "/test.Echo/Stream", bytesOf)
			if err == nil {
				err = stream.RecvMsg(&[]byte{})
			}
			return wants(codes.DeadlineExceeded, err)
		}},
		{"a call that is cancelled", func() error {
			short, end := context.WithCancel(ctx)
			stream, err := on.NewStream(short, description, "/test.Echo/Stream", bytesOf)
			end()
			if err == nil {
				err = stream.RecvMsg(&[]byte{})
			}
			return wants(codes.Canceled, err)
		}},
		{"a method that is not there", func() error {
			return wants(codes.Unimplemented, on.Invoke(ctx, "/test.Echo/Other", &[]byte{}, &[]byte{}, bytesOf))
		}},
		{"compressed messages are refused", func() error {
			if len(os.Args) < 3 {
				return nil
			}
			err := echo(ctx, on, []int{1000}, bytesOf, grpc.UseCompressor(gzip.Name))
			return wants(codes.Unimplemented, err)
		}},
		{"after all that a call", func() error { return echo(ctx, on, []int{10}, bytesOf) }},
	}
	for _, check := range checks {
		if err := check.do(); err != nil {
			fmt.Printf("FAILED %s: %v\n", check.name, err)
			os.Exit(1)
		}
		fmt.Println(check.name)
	}
}
