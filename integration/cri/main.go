// Command cri calls a container engine by the Kubernetes Container Runtime Interface, as the kubelet does.
//
//	cri SOCKET METHOD REQUEST     calls one method; the request and the printed answer are JSON
//	cri stream URL                connects the standard streams to the URL that Exec or Attach answered with
//
// `stream` exits with the code of the program at the other end.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	_ "k8s.io/cri-api/pkg/apis/runtime/v1" // registers the messages
)

const timeout = 50 * time.Second

func main() {
	code, err := 0, errors.New("usage: cri SOCKET METHOD REQUEST | cri stream URL")
	switch {
	case len(os.Args) == 4:
		err = call(os.Args[1], os.Args[2], os.Args[3])
	case len(os.Args) == 3 && os.Args[1] == "stream":
		code, err = stream(os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cri:", err)
		code = 1
	}
	os.Exit(code)
}

func call(socket, method, request string) error {
	found, err := find(method)
	if err != nil {
		return err
	}
	in, err := message(found.Input())
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal([]byte(request), in); err != nil {
		return err
	}
	out, err := message(found.Output())
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	path := fmt.Sprintf("/%s/%s", found.Parent().FullName(), found.Name())
	if err := connection.Invoke(ctx, path, in, out); err != nil {
		return err
	}
	text, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(out)
	fmt.Println(string(text))
	return err
}

// find looks a method up by its name alone, which is in one service only.
func find(method string) (protoreflect.MethodDescriptor, error) {
	for _, service := range []protoreflect.FullName{"runtime.v1.RuntimeService", "runtime.v1.ImageService"} {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(service)
		if err != nil {
			return nil, err
		}
		descriptor := found.(protoreflect.ServiceDescriptor)
		if method := descriptor.Methods().ByName(protoreflect.Name(method)); method != nil {
			return method, nil
		}
	}
	return nil, fmt.Errorf("no method %q", method)
}

func message(descriptor protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		return nil, err
	}
	return kind.New().Interface(), nil
}

// Each message begins with the number of its channel: 0 to 2 are the standard streams, 3 is the end.
const (
	protocol = "v4.channel.k8s.io"
	ending   = 3
)

func stream(url string) (int, error) {
	connection, err := websocket.Dial(strings.Replace(url, "http", "ws", 1), protocol, url)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	go send(connection)
	outputs := map[byte]io.Writer{1: os.Stdout, 2: os.Stderr}
	for {
		var frame []byte
		if err := websocket.Message.Receive(connection, &frame); err != nil {
			return 0, fmt.Errorf("the stream broke off: %w", err)
		}
		if len(frame) == 0 {
			continue
		}
		if frame[0] == ending {
			return exitCode(frame[1:])
		}
		if output := outputs[frame[0]]; output != nil {
			output.Write(frame[1:])
		}
	}
}

func send(connection *websocket.Conn) {
	buffer := make([]byte, 4096)
	for {
		count, err := os.Stdin.Read(buffer[1:])
		if err != nil || websocket.Message.Send(connection, buffer[:1+count]) != nil {
			return
		}
	}
}

// exitCode reads a Kubernetes Status, whose causes have the code of a program that failed.
func exitCode(text []byte) (int, error) {
	var status struct {
		Status, Message string
		Details         struct {
			Causes []struct{ Reason, Message string }
		}
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return 0, err
	}
	if status.Status == "Success" {
		return 0, nil
	}
	for _, cause := range status.Details.Causes {
		if cause.Reason == "ExitCode" {
			return strconv.Atoi(cause.Message)
		}
	}
	return 0, errors.New(status.Message)
}
