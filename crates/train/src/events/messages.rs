//! The messages of an event file: those fields of TensorFlow's `event.proto` and `summary.proto` that a run fills.

/// `tensorflow.Event`: something that happened at a time and a step.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// Only in the first event of a file.
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
}

/// `tensorflow.Summary`: values of one step.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// `tensorflow.Summary.Value`: a number or a picture.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    pub image: Option<Image>,
}

/// `tensorflow.Summary.Image`: a picture as the bytes of its file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Image {
    #[prost(int32, tag = "1")]
    pub height: i32,
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// 3 for red, green and blue.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

impl Event {
    /// An event without content.
    pub fn at(wall_time: f64, step: u64) -> Self {
        Self { wall_time, step: i64::try_from(step).unwrap_or(i64::MAX), ..Self::default() }
    }
}

impl Value {
    /// A number.
    pub fn scalar(tag: String, value: f64) -> Self {
        Self { tag, simple_value: Some(value as f32), image: None }
    }

    /// A picture.
    pub fn picture(tag: String, image: Image) -> Self {
        Self { tag, simple_value: None, image: Some(image) }
    }
}

impl Image {
    /// A PNG file of red, green and blue, whose first chunk tells its size: 8 bytes of signature, 8 of the chunk's head,
    /// then width and height as big-endian numbers (RFC 2083, section 4.1.1). `None` of anything else.
    pub fn of_png(png: Vec<u8>) -> Option<Self> {
        let number = |place: usize| Some(i32::from_be_bytes(png.get(place..place + 4)?.try_into().ok()?));
        if png.get(12..16)? != b"IHDR" {
            return None;
        }
        Some(Self { height: number(20)?, width: number(16)?, colorspace: 3, encoded_image_string: png })
    }
}
