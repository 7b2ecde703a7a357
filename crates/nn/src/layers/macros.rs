//! The two shapes that most layers have, each declared in one line: a layer without
//! parameters, and a layer that is another one under its own name.

/// Declares a layer without parameters: its struct and its module tree (empty); without fields also
/// its `Default`.
macro_rules! plain {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<T: cerberus_tensor::Element = f32> {
            $($field: $type,)*
            element: std::marker::PhantomData<T>,
        }
        crate::module!($name {} without { $($field,)* element });
    };
    ($(#[$doc:meta])* $name:ident) => {
        $crate::layers::macros::plain! { $(#[$doc])* $name {} }

        impl<T: cerberus_tensor::Element> Default for $name<T> {
            fn default() -> Self {
                Self { element: std::marker::PhantomData }
            }
        }
    };
}

/// Makes a struct with one field `inner` the layer that `inner` is: the same paths of parameters
/// (`weight`, not `inner.weight`) and the same forward pass, before which a check of the input may stand.
macro_rules! transparent {
    ($name:ident $(, |$x:ident| $check:expr)? $(, joint |$layer:ident| $joint:expr)?) => {
        impl<T: cerberus_tensor::Element> crate::module::Module<T> for $name<T> {
            fn visit<'a>(
                &'a self,
                path: &str,
                f: &mut dyn FnMut(String, crate::module::ModuleTensor<'a, T>),
            ) {
                self.inner.visit(path, f);
            }

            fn visit_mut<'a>(
                &'a mut self,
                path: &str,
                f: &mut dyn FnMut(String, crate::module::ModuleTensorMut<'a, T>),
            ) {
                self.inner.visit_mut(path, f);
            }
        }

        impl<T: cerberus_tensor::Element> crate::layers::Layer<T> for $name<T> {
            #[track_caller]
            fn forward(
                &self,
                x: cerberus_autograd::Var<T>,
                context: &mut crate::context::Context<T>,
            ) -> cerberus_autograd::Var<T> {
                $(
                    let $x = &x;
                    $check;
                )?
                self.inner.forward(x, context)
            }

            $(fn joint(&self) -> crate::layers::Joint<'_, T> {
                let $layer = self;
                $joint
            })?
        }
    };
}

pub(super) use plain;
pub(super) use transparent;
