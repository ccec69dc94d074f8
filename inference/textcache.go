package inference

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute"

	"lorikeet/inference/nn"
)

// textCache holds the keys and values of the rows of a writer for the graphs to read, in
// the tensors that a family lists. It belongs to the goroutine that owns the device.
type textCache interface {
	// blank makes it anew, empty.
	blank(r room) error
	// move takes rows to another room: row i comes from row from[i], and those beyond hold
	// nothing.
	move(now room, from []int32) error
	// pick does the same for all rows within a room, with the first tensors.
	pick(from []int32, tensors int) error
	// insert copies what was read, a row each, into the given rows; where two name the
	// same the later is kept.
	insert(read room, part []compute.Buffer, rows []int32) error
	// append takes what a step gave out beside its scores: a token for each row, at its
	// position. Rows with a negative position hold nothing.
	append(out []compute.Buffer, position []int32) error
	// feed gives a graph tensor i.
	feed(i int) (b compute.Buffer, donate bool)
	// close frees everything.
	close()
}

// newTextCache picks the kind that the device allows.
func newTextCache(g *scripts) textCache {
	if g.inGraph {
		return &deviceCache{scripts: g}
	}
	return &sharedCache{scripts: g}
}

// written is how many tensors of the cache a step adds to: all but what was read for an
// encoder-decoder.
func written(f family) int {
	from, to := f.part()
	if from > 0 {
		return from
	}
	return to
}

// deviceCache lies in memory of the device alone: graphs copy and write.
type deviceCache struct {
	scripts *scripts
	room    room
	tensors []compute.Buffer
}

func (c *deviceCache) blank(r room) error {
	c.close()
	for _, s := range c.scripts.family.cache(r) {
		b, err := nn.Upload(c.scripts.backend, make([]float32, s.Size()), s.Dimensions...)
		if err != nil {
			return err
		}
		c.tensors = append(c.tensors, b)
	}
	c.room = r
	return nil
}

func (c *deviceCache) close() {
	for _, b := range c.tensors {
		if b != nil {
			_ = b.Finalize()
		}
	}
	c.tensors = nil
}

func (c *deviceCache) move(now room, from []int32) error {
	all := make([]int32, now.rows) // a graph takes every row from somewhere
	copy(all, from)
	err := c.gather(now, all, len(c.tensors))
	c.room = now
	return err
}

func (c *deviceCache) pick(from []int32, tensors int) error {
	return c.gather(c.room, from, tensors)
}

// gather makes the first tensors anew.
func (c *deviceCache) gather(now room, from []int32, to int) error {
	g := c.scripts
	program, err := g.other(fmt.Sprintf("move_%s_%s_%d", c.room, now, to), move(g.family, c.room, now, 0, to))
	if err != nil {
		return err
	}
	index, err := nn.Upload(g.backend, from, len(from))
	if err != nil {
		return err
	}
	out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if p.Name == "from" {
			return index, false, nil
		}
		i, err := numbered("cache.%d", p.Name)
		return c.tensors[i], false, err
	})
	if err := errors.Join(err, index.Finalize()); err != nil {
		return err
	}
	for i, b := range out {
		if err := c.tensors[i].Finalize(); err != nil {
			return err
		}
		c.tensors[i] = b
	}
	return nil
}

func numbered(format, name string) (i int, err error) {
	_, err = fmt.Sscanf(name, format, &i)
	return i, err
}

func (c *deviceCache) insert(read room, part []compute.Buffer, rows []int32) error {
	g := c.scripts
	program, err := g.other(insertName(read.rows, read.length, c.room), insert(g.family, read.rows, read.length, c.room))
	if err != nil {
		return err
	}
	index, err := nn.Upload(g.backend, rows, len(rows))
	if err != nil {
		return err
	}
	from, _ := g.family.part()
	out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if p.Name == "rows" {
			return index, false, nil
		}
		if i, err := numbered("part.%d", p.Name); err == nil {
			return part[i-from], false, nil
		}
		i, err := numbered("cache.%d", p.Name)
		b := c.tensors[i]
		c.tensors[i] = nil
		return b, true, err
	})
	if err := errors.Join(err, index.Finalize()); err != nil {
		return err
	}
	copy(c.tensors[from:], out)
	return nil
}

func (c *deviceCache) append(out []compute.Buffer, _ []int32) error {
	copy(c.tensors, out)
	return nil
}

func (c *deviceCache) feed(i int) (compute.Buffer, bool) {
	b := c.tensors[i]
	if i >= written(c.scripts.family) {
		return b, false
	}
	c.tensors[i] = nil // consumed, and made anew
	return b, true
}
