package probe

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const portName = "org.unidbg.probe"

// connector turns a place into what opens it.
func connector(place string) (func() (io.WriteCloser, error), error) {
	for _, network := range []string{"tcp", "unix"} {
		if strings.HasPrefix(place, network+":") {
			address := strings.TrimPrefix(strings.TrimPrefix(place, network+":"), "//")
			return func() (io.WriteCloser, error) { return net.DialTimeout(network, address, 5*time.Second) }, nil
		}
	}
	path := strings.TrimPrefix(place, "file:")
	if place == "virtio" {
		var err error
		if path, err = findVirtioPort(); err != nil {
			return nil, err
		}
	}
	return func() (io.WriteCloser, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	}, nil
}

// findVirtioPort: Linux names the port by udev; without udev sysfs still knows the name.
func findVirtioPort() (string, error) {
	byName := "/dev/virtio-ports/" + portName
	if _, err := os.Stat(byName); err == nil {
		return byName, nil
	}
	names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && strings.TrimSpace(string(text)) == portName {
			return "/dev/" + filepath.Base(filepath.Dir(name)), nil
		}
	}
	return "", errors.New("this guest has no virtio-serial port named " + portName)
}
