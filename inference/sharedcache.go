package inference

import (
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

// sharedCache lies in memory that host and device share. Graphs read it and nothing
// else: a step gives out the keys and values of one token, and the host puts them where
// they belong, which is little beside the copy of the whole cache that a graph makes
// before it writes to one. What moves rows needs no graph either, and none is compiled.
type sharedCache struct {
	scripts *scripts
	tensors []sharedTensor
	fresh   []float32 // of a step
	part    []float32 // of a read
	aside   []float32 // rows on the move
}

// sharedTensor is [rows, heads, slots, dim].
type sharedTensor struct {
	buffer             compute.Buffer
	flat               []float32
	heads, slots, size int // size: values of a slot
}

// row is the values of a row, head after head.
func (t *sharedTensor) row(i int) []float32 {
	n := t.heads * t.slots * t.size
	return t.flat[i*n : (i+1)*n]
}

// take copies as many slots of each head as there are in both; from is a row of another
// tensor, which has as many heads.
func (t *sharedTensor) take(row int, from []float32, slots int) {
	to, n := t.row(row), min(slots, t.slots)*t.size
	for h := range t.heads {
		copy(to[h*t.slots*t.size:], from[h*slots*t.size:h*slots*t.size+n])
	}
}

func (c *sharedCache) blank(r room) error {
	c.close()
	var err error
	c.tensors, err = c.make(r)
	return err
}

func (c *sharedCache) make(r room) (all []sharedTensor, err error) {
	for _, s := range c.scripts.family.cache(r) {
		t, err := newSharedTensor(c.scripts.backend, s)
		if err != nil {
			closeTensors(all)
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func newSharedTensor(backend compute.Backend, s shapes.Shape) (sharedTensor, error) {
	b, flat, err := backend.NewSharedBuffer(0, s)
	if err != nil {
		return sharedTensor{}, err
	}
	t := sharedTensor{b, flat.([]float32), s.Dim(1), s.Dim(2), s.Dim(3)}
	clear(t.flat) // nobody looks at what is not written, but 0·NaN is NaN
	return t, nil
}

func closeTensors(all []sharedTensor) {
	for _, t := range all {
		_ = t.buffer.Finalize()
	}
}

func (c *sharedCache) close() {
	closeTensors(c.tensors)
	c.tensors = nil
}

func (c *sharedCache) move(now room, from []int32) error {
	next, err := c.make(now)
	if err != nil {
		return err
	}
	for i := range next {
		for row, old := range from {
			next[i].take(row, c.tensors[i].row(int(old)), c.tensors[i].slots)
		}
	}
	c.close()
	c.tensors = next
	return nil
}

func (c *sharedCache) pick(from []int32, tensors int) error {
	for i := range c.tensors[:tensors] {
		t := &c.tensors[i]
		c.aside = c.aside[:0]
		for row, old := range from {
			if int(old) != row {
				c.aside = append(c.aside, t.row(int(old))...)
			}
		}
		rest := c.aside
		for row, old := range from {
			if int(old) != row {
				rest = rest[copy(t.row(row), rest):]
			}
		}
	}
	return nil
}

func (c *sharedCache) insert(read room, part []compute.Buffer, rows []int32) error {
	first, _ := c.scripts.family.part()
	for i, b := range part {
		t := &c.tensors[first+i]
		n := t.heads * read.length * t.size
		c.part = slices.Grow(c.part[:0], n*read.rows)[:n*read.rows]
		if err := b.ToFlatData(c.part); err != nil {
			return err
		}
		for j, row := range rows {
			t.take(int(row), c.part[j*n:(j+1)*n], read.length)
		}
	}
	return nil
}

func (c *sharedCache) append(out []compute.Buffer, position []int32) error {
	shape, err := out[0].Shape() // [tensors, rows, heads, dim]
	if err != nil {
		return err
	}
	c.fresh = slices.Grow(c.fresh[:0], shape.Size())[:shape.Size()]
	if err := out[0].ToFlatData(c.fresh); err != nil {
		return err
	}
	fresh := c.fresh
	for i := range c.tensors[:written(c.scripts.family)] {
		t := &c.tensors[i]
		for row, at := range position {
			if at >= 0 && int(at) < t.slots {
				for h := range t.heads {
					copy(t.row(row)[(h*t.slots+int(at))*t.size:], fresh[h*t.size:(h+1)*t.size])
				}
			}
			fresh = fresh[t.heads*t.size:]
		}
	}
	return out[0].Finalize()
}

func (c *sharedCache) feed(i int) (compute.Buffer, bool) { return c.tensors[i].buffer, false }
