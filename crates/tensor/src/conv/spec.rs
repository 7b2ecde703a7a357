//! The geometry of a convolution: sizes, stride, padding, dilation and groups.

use crate::shape::{product_of, sum_of};

/// Rows and columns of zeros around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns before the first.
    pub left: usize,
    /// Columns after the last.
    pub right: usize,
}

impl Padding {
    /// The same on all four sides.
    pub const fn all(pixels: usize) -> Self {
        Self { top: pixels, bottom: pixels, left: pixels, right: pixels }
    }
}

/// Stride, padding, dilation and groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dSpec {
    /// Step between output pixels in the input: down, across.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding,
    /// Distance between the kernel's taps: down, across.
    pub dilation: [usize; 2],
    /// Into how many independent groups the channels are split.
    pub groups: usize,
}

impl Default for Conv2dSpec {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> Self {
        Self { stride: [1, 1], padding: Padding::default(), dilation: [1, 1], groups: 1 }
    }
}

impl Conv2dSpec {
    /// Stride 1 with the padding that keeps the image size for an odd `kernel`.
    pub fn same(kernel: usize) -> Self {
        Self { padding: Padding::all(kernel / 2), ..Self::default() }
    }
}

/// Strides up to this length are kept as they are, even beyond the image.
const LONG_STRIDE: usize = 1 << 16;

/// Every extent of one convolution, checked to fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Images in the batch.
    pub n: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of the input, of all groups.
    pub cin: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Channels of the output, of all groups.
    pub cout: usize,
    /// How the kernel slides.
    pub spec: Conv2dSpec,
}

impl Geometry {
    /// Derives the geometry from the shapes `x [N, H, W, Cin]` and
    /// `weight [KH, KW, Cin/groups, Cout]`.
    ///
    /// # Panics
    /// If they do not fit, with a message that starts with `operation`.
    #[track_caller]
    pub fn new(operation: &str, x: &[usize], weight: &[usize], spec: &Conv2dSpec) -> Self {
        let fail = |reason: String| -> ! {
            panic!(
                "{operation}: x {x:?} (N, H, W, Cin) and weight {weight:?} (KH, KW, Cin/groups, Cout) with {spec:?}: {reason}"
            )
        };
        let (&[n, h, w, cin], &[kh, kw, cin_group, cout]) = (x, weight) else {
            fail("both must have four dimensions".into())
        };
        if spec.stride.contains(&0) || spec.dilation.contains(&0) || spec.groups == 0 || kh == 0 || kw == 0 {
            fail("stride, dilation, groups and kernel size must be at least 1".into());
        }
        if Some(cin) != cin_group.checked_mul(spec.groups) || cout % spec.groups != 0 {
            fail(format!(
                "Cin must be {} * {} groups, and Cout a multiple of the groups",
                cin_group, spec.groups
            ));
        }
        let extent = |size: usize, kernel: usize, [before, after]: [usize; 2], axis: usize| {
            let padded = sum_of(operation, &[size, before, after]);
            let reach = sum_of(operation, &[product_of(operation, &[spec.dilation[axis], kernel - 1]), 1]);
            match padded.checked_sub(reach) {
                Some(room) => (room / spec.stride[axis] + 1, padded),
                None => fail(format!("the kernel reaches over {reach} of {padded} padded positions")),
            }
        };
        let p = spec.padding;
        let (oh, rows) = extent(h, kh, [p.top, p.bottom], 0);
        let (ow, columns) = extent(w, kw, [p.left, p.right], 1);
        // A stride beyond the image leaves one output, whatever its length.
        let [down, across] = spec.stride;
        let stride = [down.min(rows.max(LONG_STRIDE)), across.min(columns.max(LONG_STRIDE))];
        product_of(operation, &[stride[0], columns, cin]);
        product_of(operation, &[stride[1], cin]);
        let spec = Conv2dSpec { stride, ..*spec };
        Self { n, input: [h, w], cin, kernel: [kh, kw], output: [oh, ow], cout, spec }.checked(operation)
    }

    /// `[KH, KW, Cin/groups, Cout]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.kernel[0], self.kernel[1], self.cin_group(), self.cout]
    }

    /// `[N, OH, OW, Cout]`.
    pub fn y_shape(&self) -> [usize; 4] {
        [self.n, self.output[0], self.output[1], self.cout]
    }

    /// Whether there are no input or no output channels, so that there is no product to compute.
    pub(crate) fn has_no_channels(&self) -> bool {
        self.cin == 0 || self.cout == 0
    }

    /// Input channels of one group.
    pub fn cin_group(&self) -> usize {
        self.cin / self.spec.groups
    }

    /// Output channels of one group.
    pub fn cout_group(&self) -> usize {
        self.cout / self.spec.groups
    }

    /// The input row (axis 0) or column (axis 1) under kernel tap `k` at output
    /// position `o`, or `None` in the padding.
    #[inline(always)]
    pub fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let before = if axis == 0 { self.spec.padding.top } else { self.spec.padding.left };
        let place = o * self.spec.stride[axis] + k * self.spec.dilation[axis];
        place.checked_sub(before).filter(|&place| place < self.input[axis])
    }

    /// The geometry of the input gradient as a convolution of `dy` with flipped
    /// weights. Its padding is the kernel's reach, `dilation * (kernel - 1)`,
    /// minus the forward pass's padding. `None` if the stride is not 1 or the
    /// forward pass's padding is larger than the reach.
    ///
    /// # Panics
    /// If its padded image has more elements than memory can address: the reach
    /// is added on both sides.
    #[track_caller]
    pub fn adjoint(&self) -> Option<Geometry> {
        let reach = |axis: usize| self.spec.dilation[axis] * (self.kernel[axis] - 1);
        let p = self.spec.padding;
        let padding = Padding {
            top: reach(0).checked_sub(p.top)?,
            bottom: reach(0).checked_sub(p.bottom)?,
            left: reach(1).checked_sub(p.left)?,
            right: reach(1).checked_sub(p.right)?,
        };
        (self.spec.stride == [1, 1]).then(|| {
            Geometry {
                input: self.output,
                output: self.input,
                cin: self.cout,
                cout: self.cin,
                spec: Conv2dSpec { padding, ..self.spec },
                ..*self
            }
            .checked("conv2d input gradient")
        })
    }

    /// This geometry, after checking that no size in a pass wraps around: the
    /// output, the padded image and the patch matrix.
    ///
    /// # Panics
    /// If one has more elements than memory can address.
    #[track_caller]
    pub(crate) fn checked(self, operation: &str) -> Self {
        let ([h, w], [oh, ow], [kh, kw]) = (self.input, self.output, self.kernel);
        let p = self.spec.padding;
        let [rows, columns] =
            [[h, p.top, p.bottom], [w, p.left, p.right]].map(|axis| sum_of(operation, &axis));
        product_of(operation, &[self.n, oh, ow, self.cout]);
        product_of(operation, &[self.n, rows, columns, self.cin]);
        product_of(operation, &[oh, ow, kh, kw, self.cin]);
        self
    }

    /// Multiply-adds of the forward pass, and of each gradient; `usize::MAX` if there are more.
    pub fn multiply_adds(&self) -> usize {
        let [oh, ow] = self.output;
        let [kh, kw] = self.kernel;
        [oh, ow, self.cout, kh, kw, self.cin_group()].iter().fold(self.n, |all, &n| all.saturating_mul(n))
    }

    /// Checks the output's gradient against the geometry.
    ///
    /// # Panics
    /// If its shape is not that of the output.
    #[track_caller]
    pub fn check_dy(&self, operation: &str, dy: &[usize]) {
        assert!(
            dy == self.y_shape(),
            "{operation}: dy {dy:?} must have the output's shape {:?}",
            self.y_shape()
        );
    }
}
