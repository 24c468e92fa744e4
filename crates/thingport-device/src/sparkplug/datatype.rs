//! Types of metrics and their numbers on the wire.

macro_rules! datatypes {
    ($($name:ident = $code:literal,)*) => {
        /// The type of a metric, a property, a parameter or a column. Unknown, which is 0, is none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)] // the standard's own names
        pub enum DataType { $($name = $code,)* }

        impl DataType {
            /// Every type, in order of number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The type with this number.
            #[must_use]
            pub const fn of(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The standard's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

datatypes! {
    Int8 = 1, Int16 = 2, Int32 = 3, Int64 = 4, UInt8 = 5, UInt16 = 6, UInt32 = 7, UInt64 = 8,
    Float = 9, Double = 10, Boolean = 11, String = 12, DateTime = 13, Text = 14, UUID = 15,
    DataSet = 16, Bytes = 17, File = 18, Template = 19, PropertySet = 20, PropertySetList = 21,
    Int8Array = 22, Int16Array = 23, Int32Array = 24, Int64Array = 25, UInt8Array = 26,
    UInt16Array = 27, UInt32Array = 28, UInt64Array = 29, FloatArray = 30, DoubleArray = 31,
    BooleanArray = 32, StringArray = 33, DateTimeArray = 34,
}

impl DataType {
    /// The type of the elements of an array.
    #[must_use]
    pub const fn element(self) -> Option<Self> {
        Some(match self {
            Self::Int8Array => Self::Int8,
            Self::Int16Array => Self::Int16,
            Self::Int32Array => Self::Int32,
            Self::Int64Array => Self::Int64,
            Self::UInt8Array => Self::UInt8,
            Self::UInt16Array => Self::UInt16,
            Self::UInt32Array => Self::UInt32,
            Self::UInt64Array => Self::UInt64,
            Self::FloatArray => Self::Float,
            Self::DoubleArray => Self::Double,
            Self::BooleanArray => Self::Boolean,
            Self::StringArray => Self::String,
            Self::DateTimeArray => Self::DateTime,
            _ => return None,
        })
    }

    /// Bytes of an element in an array, where each takes as many.
    pub(crate) const fn width(self) -> Option<usize> {
        Some(match self {
            Self::Int8 | Self::UInt8 => 1,
            Self::Int16 | Self::UInt16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float => 4,
            Self::Int64 | Self::UInt64 | Self::Double | Self::DateTime => 8,
            _ => return None,
        })
    }

    /// Smallest and largest value of a type of whole numbers.
    pub(crate) const fn range(self) -> Option<(i128, i128)> {
        Some(match self {
            Self::Int8 => (i8::MIN as i128, i8::MAX as i128),
            Self::Int16 => (i16::MIN as i128, i16::MAX as i128),
            Self::Int32 => (i32::MIN as i128, i32::MAX as i128),
            Self::Int64 => (i64::MIN as i128, i64::MAX as i128),
            Self::UInt8 => (0, u8::MAX as i128),
            Self::UInt16 => (0, u16::MAX as i128),
            Self::UInt32 => (0, u32::MAX as i128),
            Self::UInt64 | Self::DateTime => (0, u64::MAX as i128),
            _ => return None,
        })
    }
}
